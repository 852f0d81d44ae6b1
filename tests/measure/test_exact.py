"""A policy against the truth."""

import math
from types import SimpleNamespace

import pytest
import torch

from workbench.measure.exact import Tracker, evaluate, response_logps
from workbench.models.policy import TabularPolicy
from workbench.worlds import solutions


def small():
    """One prompt and three responses of 0, 1 and 2 words."""
    logs = torch.tensor([[[0.5, 0.25, 0.25]], [[0.25, 0.25, 0.5]]]).double().log()
    return SimpleNamespace(n_words=torch.tensor([0, 1, 2])), logs[0], logs[1]


def test_every_column_by_hand():
    world, ref, policy = small()
    gold = torch.tensor([[1.0, 0.0, 3.0]], dtype=torch.float64)
    row = evaluate(policy, world, ref, gold=gold, proxy=-gold).iloc[0]
    log2 = math.log(2)
    # KL: ¼ log ½ + ½ log 2; reverse: ½ log 2 + ¼ log ½
    hand = {
        "seed": 0, "gold": 1.75, "proxy": -1.75, "kl": log2 / 4, "kl_reverse": log2 / 4,
        "chi2": 0.125 + 0.25 + 1 - 1, "entropy": 1.5 * log2, "length": 1.25,
    }  # fmt: skip
    assert {k: row[k] for k in hand} == pytest.approx(hand)


def test_columns_without_their_input_are_absent():
    world, ref, policy = small()
    assert list(evaluate(policy, world, ref).columns) == [
        "seed", "kl", "kl_reverse", "chi2", "entropy", "length",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="give gold or proxy"):
        evaluate(policy, world, ref, beta=1.0)


def test_the_two_directions_of_kl_are_not_swapped(world, ref):
    certain = torch.full_like(ref, -torch.inf)
    certain[:, 3] = 0.0
    row = evaluate(certain, world, ref).iloc[0]
    assert row.kl == pytest.approx(-ref[:, 3].mean().item())
    assert row.kl_reverse == math.inf
    assert row.entropy == 0


def test_the_reference_is_at_distance_zero(world, ref, gold):
    row = evaluate(ref, world, ref, gold=gold).iloc[0]
    for column in ("kl", "kl_reverse", "chi2", "frontier_gap"):
        assert abs(row[column]) < 1e-12


@pytest.mark.parametrize("beta", [5.0, 1.0, 0.3, 0.05])
def test_the_optimum_of_gold_has_no_gap_and_no_distance(world, ref, gold, beta):
    best = solutions.optimal_policy(ref, gold, beta)
    row = evaluate(best, world, ref, gold=gold, beta=beta).iloc[0]
    assert abs(row.kl_to_optimum) < 1e-12
    assert abs(row.frontier_gap) < 1e-6


def test_any_other_policy_lies_below_the_frontier(world, ref, gold, proxy, other):
    tilts = [solutions.optimal_policy(ref, proxy, b) for b in (2.0, 0.5, 0.1)]
    certain = torch.full_like(ref, -torch.inf)
    certain[:, 3] = 0.0
    rows = evaluate(torch.stack([other, *tilts, certain]), world, ref, gold=gold)
    assert (rows.frontier_gap > 1e-3).all()


def test_a_beta_a_prompt_is_worse_than_one_beta_for_all(world, ref, gold):
    betas = torch.tensor([0.1, 0.5, 1.0, 5.0], dtype=torch.float64)[:, None]
    uneven = solutions.optimal_policy(ref, gold / betas, 1.0)
    assert evaluate(uneven, world, ref, gold=gold).frontier_gap[0] > 0.01


def test_beta_times_the_distance_is_the_regret(world, ref, gold, other):
    beta = 0.7

    def objective(logps):
        return (
            solutions.expectation(logps, gold) - beta * solutions.kl(logps, ref)
        ).mean()

    row = evaluate(other, world, ref, gold=gold, beta=beta).iloc[0]
    regret = objective(solutions.optimal_policy(ref, gold, beta)) - objective(other)
    assert beta * row.kl_to_optimum == pytest.approx(regret.item(), rel=1e-10)


def test_the_optimum_is_that_of_the_proxy_where_there_is_one(world, ref, gold, proxy):
    best = solutions.optimal_policy(ref, proxy, 0.5)
    row = evaluate(best, world, ref, gold=gold, proxy=proxy, beta=0.5).iloc[0]
    assert abs(row.kl_to_optimum) < 1e-12


def test_a_stack_gives_a_row_a_seed(world, ref, gold, other):
    rows = evaluate(torch.stack([ref, other]), world, ref, gold=gold)
    alone = evaluate(other, world, ref, gold=gold)
    assert rows.seed.tolist() == [0, 1]
    for column in alone.columns[1:]:
        assert rows[column][1] == pytest.approx(alone[column][0], rel=1e-12)


def test_a_tracker_gives_the_rows_of_evaluate(world, ref, gold, proxy, other):
    tracker = Tracker(world, ref, gold=gold, proxy=proxy, beta=0.5)
    policy = TabularPolicy(world, other)
    direct = evaluate(other, world, ref, gold=gold, proxy=proxy, beta=0.5)
    assert (tracker(policy) - direct).abs().max().max() < 1e-12


def test_measuring_builds_no_graph(world, other):
    assert not response_logps(TabularPolicy(world, other), world).requires_grad
