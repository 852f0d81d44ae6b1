"""Sampled drift against the exact KL."""

import math

import pytest
import torch

from workbench.core.seeds import generator
from workbench.measure import drift
from workbench.measure.drift import drift_curve, estimates, sequence_values
from workbench.models.policy import Policy, TabularPolicy
from workbench.models.tiny import decoder
from workbench.worlds import solutions


@pytest.fixture(scope="module")
def drifted(world, ref, gold):
    """A policy 0.85 nats from its reference, where k2 is 0.93 on average."""
    return solutions.optimal_policy(ref, gold, 0.7)


def samples(world, logps, n, seed):
    return world.draw(logps, n, generator(seed, "drift"))


def test_by_hand_on_two_responses(world, ref, other):
    tokens = world.tokens(torch.tensor([0, 1]), torch.tensor([5, 40]))
    policy, reference = TabularPolicy(world, other), TabularPolicy(world, ref)
    values = sequence_values(policy, reference, tokens)
    logratio = (other - ref)[torch.tensor([0, 1]), torch.tensor([5, 40])]
    torch.testing.assert_close(values["k1"][0], logratio)
    torch.testing.assert_close(values["k2"][0], logratio**2 / 2)
    torch.testing.assert_close(values["k3"][0], (-logratio).exp() - 1 + logratio)


def test_means_lie_within_four_standard_errors_and_k2_is_biased(world, ref, drifted):
    tokens = samples(world, drifted, 8000, 0)
    policy, reference = TabularPolicy(world, drifted), TabularPolicy(world, ref)
    frame = estimates(policy, reference, tokens, world=world).set_index("estimator")
    truth = solutions.kl(drifted, ref).mean().item()
    assert frame.exact.tolist() == pytest.approx([truth] * 4)
    off = ((frame["mean"] - truth) / frame.stderr).abs()
    assert (off[["k1", "k3", "rao-blackwell"]] < 4).all()
    assert off["k2"] > 4
    assert frame.stderr["rao-blackwell"] < 0.7 * frame.stderr["k1"]


def test_intervals_cover_the_exact_kl_in_93_percent_of_200_seeds(world, ref, drifted):
    truth = solutions.kl(drifted, ref).mean()
    policy, reference = TabularPolicy(world, drifted), TabularPolicy(world, ref)
    covered = {"k1": 0, "rao-blackwell": 0}
    for seed in range(200):
        tokens = samples(world, drifted, 256, seed)
        frame = estimates(policy, reference, tokens, world=world)
        for row in frame[frame.estimator.isin(covered)].itertuples():
            covered[row.estimator] += row.low < truth < row.high
    assert min(covered.values()) >= 186


def test_the_rao_blackwell_estimate_has_the_kl_as_its_mean_by_enumeration(
    world, ref, drifted
):
    n = world.n_responses
    every = world.tokens(
        torch.arange(4).repeat_interleave(n), torch.arange(n).repeat(4)
    )
    policy, reference = TabularPolicy(world, drifted), TabularPolicy(world, ref)
    values = sequence_values(policy, reference, every, world)["rao-blackwell"]
    mean = (drifted.exp() * values.reshape(4, n)).sum(-1)
    torch.testing.assert_close(mean, solutions.kl(drifted, ref))


def test_a_stack_of_transformers_is_measured_member_by_member(world):
    policies = [decoder(world.vocab, width=16, layers=1, seed=s) for s in (1, 2)]
    reference = decoder(world.vocab, width=16, layers=1, seed=0)
    stack = Policy.stack(policies)
    prompt = torch.arange(32) % 4
    tokens = stack.sample(world, prompt, generator(0))
    frame = estimates(stack, reference, tokens, world=world)
    assert frame.seed.tolist() == [0] * 4 + [1] * 4
    for seed, policy in enumerate(policies):
        rows = slice(32 * seed, 32 * seed + 32)
        alone = estimates(policy, reference, tokens[rows], world=world)
        mine = frame[frame.seed == seed].reset_index(drop=True)
        for column in ("mean", "stderr", "exact"):
            assert mine[column].tolist() == pytest.approx(
                alone[column].tolist(), abs=1e-5
            )


def test_prefix_kl_from_logits_and_from_the_tree_agree(world):
    policy = decoder(world.vocab, width=16, layers=1, seed=1)
    reference = decoder(world.vocab, width=16, layers=1, seed=0)
    tokens = policy.sample(world, torch.arange(16) % 4, generator(0))
    tables = [
        TabularPolicy(world, p.response_logps(world)) for p in (policy, reference)
    ]
    network = sequence_values(policy, reference, tokens)["rao-blackwell"]
    tree = sequence_values(*tables, tokens, world)["rao-blackwell"]
    torch.testing.assert_close(network, tree, atol=1e-5, rtol=1e-4)


def test_a_curve_has_a_block_of_rows_a_step(world, ref, gold):
    path = {
        step: TabularPolicy(world, solutions.optimal_policy(ref, gold, beta))
        for step, beta in [(0, 1e6), (10, 2.0), (20, 0.5)]
    }

    def draw(policy):
        return samples(world, policy.response_logps(), 64, 3)

    frame = drift_curve(path, TabularPolicy(world, ref), draw, world=world)
    assert frame.step.tolist() == [0] * 4 + [10] * 4 + [20] * 4
    assert frame.groupby("step").exact.first().is_monotonic_increasing
    assert math.isclose(frame.exact[0], 0, abs_tol=1e-9)


def test_in_parts_are_the_values_of_all_at_once(world, monkeypatch):
    """A stack of two: four responses at a time, in their order, member by member."""
    vocab = world.vocab
    policy = Policy.stack([decoder(vocab, 16, 1, seed=seed) for seed in (0, 1)])
    reference = decoder(vocab, 16, 1, seed=2)
    tokens = world.tokens(torch.arange(14) % 2, torch.arange(14) * 3)
    whole = sequence_values(policy, reference, tokens)
    read = []
    monkeypatch.setattr(drift, "rows_at_once", lambda policy, time: 4)

    def counted(*most):
        read.append(len(most[2]))
        return drift.sequence_values(*most)

    parts = drift.in_parts(policy, reference, tokens, counted)
    assert read == [4, 4, 4, 2]
    alone = drift.in_parts(policy, reference, tokens, drift.prefix_values)
    assert alone.keys() == {"rao-blackwell"}
    assert torch.equal(alone["rao-blackwell"], parts["rao-blackwell"])
    assert parts.keys() == whole.keys()
    for name, values in whole.items():
        torch.testing.assert_close(parts[name], values)
