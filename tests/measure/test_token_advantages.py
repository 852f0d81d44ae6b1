"""Token implicit rewards beside the exact advantages."""

import math

import pandas as pd
import pytest
import torch

from workbench.measure.token_advantages import (
    beside_advantage,
    by_depth,
    exact_by_depth,
)
from workbench.models.policy import TabularPolicy
from workbench.worlds import solutions


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_at_the_optimum_token_rewards_are_the_exact_advantages(world, ref, gold, beta):
    best = solutions.optimal_policy(ref, gold, beta)
    prompt = torch.arange(4).repeat(3)
    response = torch.tensor([0, 3, 17, 40, 72, 8, 9, 30, 55, 1, 2, 64])
    frame = beside_advantage(
        TabularPolicy(world, best), TabularPolicy(world, ref), world, prompt, response,
        beta=beta,
    )  # fmt: skip
    assert (frame.reward - frame.advantage).abs().max() < 1e-9
    total = gold - beta * solutions.log_partition(ref, gold, beta)[:, None]
    sums = frame.groupby("row").advantage.sum().tolist()
    assert sums == pytest.approx(total[prompt, response].tolist(), abs=1e-9)


def test_away_from_the_optimum_they_differ_and_seeds_stand_apart(
    world, ref, other, stack
):
    both = stack(world, [other, ref])
    prompt, response = torch.tensor([0, 2]), torch.tensor([40, 5])
    reference = TabularPolicy(world, ref)
    frame = beside_advantage(both, reference, world, prompt, response, beta=0.5)
    assert frame.seed.tolist() == [0] * 4 + [1] * 4
    assert frame[frame.seed == 1].reward.abs().max() < 1e-12
    assert (frame.reward - frame.advantage).abs().max() > 0.1
    first, second = (frame[frame.seed == s].advantage.tolist() for s in (0, 1))
    assert first == second


def test_at_the_optimum_they_agree_at_every_depth(world, ref, gold, other):
    best = solutions.optimal_policy(ref, gold, 0.5)
    both = torch.stack([best, other])
    table = exact_by_depth(both, world, ref, beta=0.5)
    assert table[["seed", "depth"]].to_numpy().tolist() == [
        [0, 0], [0, 1], [1, 0], [1, 1]
    ]  # fmt: skip
    first, second = table[table.seed == 0], table[table.seed == 1]
    assert first.correlation.tolist() == pytest.approx([1.0, 1.0])
    assert first.slope.tolist() == pytest.approx([1.0, 1.0]) and first.rmse.max() < 1e-9
    assert second.correlation.max() < 0.9 and second.rmse.min() > 0.1


def test_only_the_ratio_of_reward_and_beta_is_in_the_policy(world, ref, gold):
    """π* of (r, β) is π* of (2r, 2β), and both sides double; a wrong β shows."""
    policy = solutions.optimal_policy(ref, gold, 0.5)
    table = exact_by_depth(policy, world, ref, reward=2 * gold, beta=1.0)
    assert table.slope.tolist() == pytest.approx([1.0, 1.0])
    half = exact_by_depth(policy, world, ref, reward=gold / 2, beta=0.25)
    assert half.rmse.max() < 1e-9
    # the same policy, but judged as if it had been trained for β = 1
    wrong = exact_by_depth(policy, world, ref, beta=1.0)
    assert wrong.slope.min() > 1.5


def test_the_tree_counts_a_token_as_often_as_the_reference_writes_it(
    world, ref, gold, other
):
    """The same sums over ALL responses, each with its probability under π_ref."""
    prompt = torch.arange(4).repeat_interleave(73)
    response = torch.arange(73).repeat(4)
    frame = beside_advantage(
        TabularPolicy(world, other), TabularPolicy(world, ref), world, prompt, response,
        beta=0.5,
    )  # fmt: skip
    frame["weight"] = ref[prompt, response].exp()[frame.row.tolist()].tolist()
    table = exact_by_depth(other, world, ref, beta=0.5)
    for depth, group in frame.groupby("position"):
        w = group.weight / group.weight.sum()
        x, y = (group[k] - (w * group[k]).sum() for k in ("advantage", "reward"))
        row = table.iloc[depth]
        assert row.slope == pytest.approx((w * x * y).sum() / (w * x * x).sum())
        both = (w * x * x).sum() * (w * y * y).sum()
        assert row.correlation == pytest.approx((w * x * y).sum() / both**0.5)
        apart = (w * (group.reward - group.advantage) ** 2).sum() ** 0.5
        assert row.rmse == pytest.approx(apart)


def test_given_responses_are_compared_position_by_position():
    """Depth 0: rewards (0, 2, 4) on advantages (0, 1, 2): slope 2, differences 0, 1,
    2. Depth 1: a constant reward has no correlation, and slope 0."""
    rows = [
        (0, 0, 0.0, 0.0), (0, 0, 2.0, 1.0), (0, 0, 4.0, 2.0),
        (0, 1, 1.0, 1.0), (0, 1, 1.0, 3.0),
    ]  # fmt: skip
    names = ["seed", "position", "reward", "advantage"]
    table = by_depth(pd.DataFrame(rows, columns=names))
    assert table.depth.tolist() == [0, 1] and table.n.tolist() == [3, 2]
    assert table.correlation[0] == pytest.approx(1.0)
    assert table.slope.tolist() == pytest.approx([2.0, 0.0])
    assert table.rmse.tolist() == pytest.approx([(5 / 3) ** 0.5, 2**0.5])
    assert math.isnan(table.correlation[1])
