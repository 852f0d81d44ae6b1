"""TDPO1 by hand, the sum that telescopes, and the policy that it ends at."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random
from tests.methods.tokenwise import (
    all_distribution_pairs,
    gradients,
    greedy,
    hand_pair,
    labels,
    node_gradient,
    node_logits,
)
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.distribution_pairs import DistributionPairs
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.methods.direct.tokens import tdpo1, tdpo2
from workbench.methods.direct.weighted import wpo
from workbench.methods.values import soft_backup
from workbench.models import tiny
from workbench.worlds.reviews import Reviews
from workbench.worlds.tree import PrefixTree

CFG = tdpo1.Config(beta=2.0)
DEEP = PrefixTree(n_words=2, depth=3)


def check_hand_number(loss):
    """β(log 3 − log √7) = log 9/7 with β = 2: L = log(1 + 7/9)."""
    assert_close(loss(hand_pair(), CFG).tolist(), [math.log(16 / 9)])


def check_hand_gradient(loss):
    """The push is 2σ(−log 9/7) = 7/8; of K it is −π_ref of it at each allowed token."""
    found = gradients(loss, hand_pair(), CFG)
    push = 7 / 8
    assert_close(found["policy_chosen"].tolist(), [[0.0, -push, -push, 0.0]])
    assert_close(found["policy_rejected"].tolist(), [[0.0, push, 0.0, 0.0]])
    expected = [push / 2, push / 2, 0.0]
    none = [0.0] * 3
    assert_close(
        found["policy_chosen_distribution"].tolist(), [[none, expected, expected, none]]
    )
    expected = [-push / 2, -push / 2, 0.0]
    assert_close(
        found["policy_rejected_distribution"].tolist(), [[none, expected, none, none]]
    )


def check_reference_gets_no_gradient(loss):
    """Tokens and distributions of the reference are frozen."""
    found = gradients(loss, hand_pair(), CFG)
    assert all(g.abs().max() == 0 for k, g in found.items() if k.startswith("ref"))


def check_start_is_that_of_dpo(loss):
    """At π = π_ref K and its gradient vanish: value and gradient are those of DPO."""
    ref = node_logits(1).log_softmax(-1)
    weight = random(2, TREE.n_responses, TREE.n_responses).exp()
    batch = all_distribution_pairs(ref, ref)
    assert_close(loss(batch, CFG), dpo.loss(batch, CFG))
    got = node_gradient(loss, CFG, ref, ref, weight)
    assert_close(got, node_gradient(dpo.loss, CFG, ref, ref, weight))


def check_greedy_policy_is_stationary(loss):
    """Any pairs, labels of a reward of responses: π ∝ π_ref exp(V^ref/β)."""
    ref, reward = node_logits(3, DEEP).log_softmax(-1), random(4, DEEP.n_responses)
    best, _ = greedy(DEEP, ref, 2 * reward, CFG.beta)
    found = node_gradient(loss, CFG, best, ref, labels(2 * reward, 5), DEEP)
    assert found.abs().max() < 1e-11


CHECKS = [
    check_hand_number,
    check_hand_gradient,
    check_reference_gets_no_gradient,
    check_start_is_that_of_dpo,
    check_greedy_policy_is_stationary,
]


def test_detached_kl_shows_only_in_the_gradient():
    wrong = tdpo1.mistakes["4 KL detached on both sides"]
    assert_close(wrong(hand_pair(), CFG), tdpo1.loss(hand_pair(), CFG))
    with pytest.raises(AssertionError):
        check_hand_gradient(wrong)


def test_scores_of_the_greedy_policy_telescope_to_the_reward():
    """d + K = (r − V^ref(root))/β; of any policy it averages to 0 under π_ref."""
    ref, reward = node_logits(3, DEEP).log_softmax(-1), random(4, DEEP.n_responses)
    best, values = greedy(DEEP, ref, reward, 0.7)

    def scores(policy):
        batch = all_distribution_pairs(policy, ref, DEEP)
        both = batch.chosen.logratio() + tdpo1.kls(batch)[0]
        return both.unflatten(0, (DEEP.n_responses, -1))[:, 0]

    assert_close(scores(best), (reward - values[0]) / 0.7)
    other = node_logits(6, DEEP).log_softmax(-1)
    mean = DEEP.response_logps(ref).exp() @ scores(other)
    assert_close(mean, torch.zeros((), dtype=F64), atol=1e-12, rtol=0)


def test_at_the_greedy_policy_dpo_is_not_stationary_nor_tdpo1_at_its_optimum():
    """Two losses, the same labels, two policies; each has a slope at the other's."""
    ref, reward = node_logits(3, DEEP).log_softmax(-1), 2 * random(4, DEEP.n_responses)
    wins = labels(reward, 5)
    best, _ = greedy(DEEP, ref, reward, CFG.beta)
    star = soft_backup.backup(DEEP, ref, reward, CFG.beta).log_policy
    slope = node_gradient(dpo.loss, CFG, star, ref, wins, DEEP)
    assert slope.abs().max() < 1e-11
    for loss, at in ((dpo.loss, best), (tdpo1.loss, star)):
        assert node_gradient(loss, CFG, at, ref, wins, DEEP).abs().max() > 0.1


def test_the_values_behind_the_greedy_policy_are_those_of_the_linear_backup():
    ref, reward = node_logits(3, DEEP).log_softmax(-1), random(4, DEEP.n_responses)
    _, values = greedy(DEEP, ref, reward, 1.0)
    assert_close(values, soft_backup.linear(DEEP, ref, reward).V)


def test_at_depth_one_the_greedy_policy_is_the_optimal_one():
    tree = PrefixTree(n_words=4, depth=1)
    ref, reward = node_logits(7, tree).log_softmax(-1), random(8, tree.n_responses)
    best, _ = greedy(tree, ref, reward, 0.5)
    assert_close(best, soft_backup.backup(tree, ref, reward, 0.5).log_policy)


def test_training_from_anywhere_ends_at_the_greedy_policy():
    ref, reward = node_logits(9).log_softmax(-1), random(10, TREE.n_responses)
    wins = labels(reward, 11) / TREE.n_responses**2
    best, _ = greedy(TREE, ref, reward, CFG.beta)
    logits = node_logits(12).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [logits], max_iter=300, tolerance_grad=1e-12, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimiser.zero_grad()
        batch = all_distribution_pairs(logits.log_softmax(-1), ref)
        value = wins.flatten() @ tdpo1.loss(batch, CFG)
        value.backward()
        return value

    optimiser.step(closure)
    assert_close(logits.detach().log_softmax(-1), best, atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", [tdpo1, tdpo2, wpo])
def test_a_network_with_forbidden_tokens_learns_from_its_distributions(method):
    """Their log-prob is −∞ under both policies; they must add neither KL nor NaN."""
    world = Reviews(max_words=2)
    reference = tiny.reference(world)
    even = torch.zeros(world.n_prompts, world.n_responses).log_softmax(-1)
    pairs = sample_pairs(world, even, 16, Annotator(deterministic=True), generator(1))
    run = offline.fit(
        reference.copies(2), reference,
        DistributionPairs.cat([DistributionPairs(pairs)] * 2), method,
        method.Config(beta=1.0), steps=20, batch_size=16, lr=3e-3, every=5,
    )  # fmt: skip
    losses = run.metrics.dropna().groupby("step")["loss"].mean()
    assert 0 < losses.iloc[-1] < losses.iloc[0] / 2
    assert all(p.isfinite().all() for p in run.policy.parameters())
