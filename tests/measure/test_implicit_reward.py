"""Implicit rewards of pairs and tokens, against hand numbers and the exact optimum."""

from types import SimpleNamespace

import pytest
import torch

from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.measure.implicit_reward import (
    PairTracker,
    of_pairs,
    of_tokens,
    token_rewards,
)
from workbench.models.policy import TabularPolicy
from workbench.worlds import solutions


@pytest.fixture(scope="module")
def pairs(world, ref):
    return sample_pairs(world, ref, 60, Annotator(), generator(0, "pairs"))


def rewards_by_table(pairs, logps, ref, beta):
    """β (log π − log π_ref) read off the tables, response by response."""
    table = beta * (logps - ref)
    chosen, rejected = pairs.chosen, pairs.rejected
    return (table[chosen.prompt, chosen.response],
            table[rejected.prompt, rejected.response])  # fmt: skip


def test_two_pairs_by_hand():
    mask = torch.tensor([[False, True, True], [False, True, False]])
    blank = torch.zeros(2, 3)
    none = torch.full((2,), -1)
    half = Tokens(blank.long(), mask, mask, none, none)

    def policy_logps(tokens):
        return torch.tensor([[0.0, -1, -2], [0, -3, 0], [0, -2, -2], [0, -1, 0]])

    policy = SimpleNamespace(members=1, token_logps=policy_logps)
    pairs = Pairs(half, half, torch.tensor([1.0, 3.0]))
    ref = (
        torch.tensor([[9.0, -2, -2], [9, -1, 9]]),
        torch.tensor([[9.0, -1, -1], [9, -2, 9]]),
    )
    # log-ratios: chosen 1 and −2, rejected −2 and 1; weights ¼ and ¾, β = 2
    row = of_pairs(policy, pairs, ref, 2.0).iloc[0]
    found = row[["chosen", "rejected", "margin", "accuracy"]].tolist()
    assert found == pytest.approx([-2.5, 0.5, -3.0, 0.25])


def test_pairs_agree_with_the_tables_whatever_the_chunk(world, ref, other, pairs):
    cached = pairs.reference_logps(TabularPolicy(world, ref))
    chosen, rejected = rewards_by_table(pairs, other, ref, 0.3)
    for chunk in (7, None):
        row = of_pairs(TabularPolicy(world, other), pairs, cached, 0.3, chunk=chunk)
        assert row.chosen[0] == pytest.approx(chosen.mean().item())
        assert row.rejected[0] == pytest.approx(rejected.mean().item())
        assert row.margin[0] == pytest.approx((chosen - rejected).mean().item())
        right = (chosen > rejected).double().mean().item()
        assert row.accuracy[0] == pytest.approx(right)


def test_before_the_first_step_all_is_zero_and_accuracy_one_half(world, ref, pairs):
    policy = TabularPolicy(world, ref)
    row = of_pairs(policy, pairs, pairs.reference_logps(policy), 0.1).iloc[0]
    assert abs(row.margin) < 1e-12 and row.accuracy == 0.5


def test_at_the_optimum_the_margin_is_the_difference_of_rewards(
    world, ref, gold, pairs
):
    beta = 0.4
    best = TabularPolicy(world, solutions.optimal_policy(ref, gold, beta))
    cached = pairs.reference_logps(TabularPolicy(world, ref))
    gap = world.gold_reward(pairs.chosen) - world.gold_reward(pairs.rejected)
    row = of_pairs(best, pairs, cached, beta).iloc[0]
    assert row.margin == pytest.approx(gap.mean().item(), abs=1e-10)
    value = beta * solutions.log_partition(ref, gold, beta)[pairs.chosen.prompt]
    chosen = (world.gold_reward(pairs.chosen) - value).mean()
    assert row.chosen == pytest.approx(chosen.item(), abs=1e-10)


def test_each_member_of_a_stack_reads_its_own_pairs_or_all_of_them(
    world, ref, other, pairs, stack
):
    policies = [other, solutions.optimal_policy(ref, world.gold, 0.5)]
    cached = pairs.reference_logps(TabularPolicy(world, ref))
    own = PairTracker(pairs, cached, 0.3)(stack(world, policies))
    every = PairTracker(pairs, cached, 0.3, shared=True)(stack(world, policies))
    for seed, logps in enumerate(policies):
        chosen, _ = rewards_by_table(pairs, logps, ref, 0.3)
        half = chosen[30 * seed : 30 * seed + 30].mean().item()
        assert own.chosen[seed] == pytest.approx(half)
        assert every.chosen[seed] == pytest.approx(chosen.mean().item())


def test_tokens_add_up_to_their_response(world, ref, other):
    prompt = torch.tensor([0, 1, 3])
    response = torch.tensor([0, 5, 40])  # none, one and two words
    tokens = world.tokens(prompt, response)
    policy, reference = TabularPolicy(world, other), TabularPolicy(world, ref)
    rewards = token_rewards(policy, reference, tokens, 0.5)
    whole = 0.5 * (other - ref)[prompt, response]
    torch.testing.assert_close(rewards.sum(-1), whole)
    frame = of_tokens(policy, reference, tokens, 0.5, world.vocab)
    assert frame.groupby("row").reward.sum().tolist() == pytest.approx(whole.tolist())
    assert frame.token[0] == "<eos>" and frame.position.tolist() == [0, 0, 1, 0, 1]
    words = " ".join(frame[frame.row == 2].token)
    assert words == world.text(40)
