"""Credit along training: 1 at π*, and the greedy policy is what V^ref makes it."""

import pytest
import torch
from torch.testing import assert_close

from workbench.core.seeds import generator
from workbench.measure.token_credit import CreditTracker, greedy_policy
from workbench.models.policy import TabularPolicy
from workbench.worlds import solutions

BETA = 0.4


def tracker(world, ref):
    responses = world.draw(ref, 200, generator(7))
    return CreditTracker(world, TabularPolicy(world, ref), responses, BETA)


def test_the_greedy_policy_weighs_each_next_token_by_what_the_reference_earns(
    world, ref, gold
):
    """First token of each response: π_ref(a) exp(E_ref[r | a]/β), by brute force."""
    found = greedy_policy(world, ref, BETA)
    assert_close(found.exp().sum(-1), torch.ones(4, dtype=torch.float64))
    texts = [world.text(y).split() for y in range(world.n_responses)]
    weights, shares = [], []
    for word in world.words:
        mine = torch.tensor([bool(t) and t[0] == word for t in texts])
        mass = (ref[0].exp() * mine).sum()
        value = (ref[0].exp() * gold[0] * mine).sum() / mass
        weights.append(mass * (value / BETA).exp())
        shares.append((found[0].exp() * mine).sum())
    weights, shares = torch.stack(weights), torch.stack(shares)
    assert_close(shares / shares.sum(), weights / weights.sum())


def test_the_reward_may_be_another(world, ref, proxy):
    found = greedy_policy(world, ref, BETA, proxy)
    assert (found - greedy_policy(world, ref, BETA)).abs().max() > 0.1


def test_at_the_optimum_all_correlations_are_one(world, ref, gold):
    best = TabularPolicy(world, solutions.optimal_policy(ref, gold, BETA))
    row = tracker(world, ref)(best).iloc[0]
    assert row[["depth 0", "depth 1", "rank"]].tolist() == pytest.approx([1, 1, 1])
    assert row["kl_to_greedy"] > 0.01


def test_at_the_greedy_policy_the_distance_is_zero_and_the_first_depth_off(world, ref):
    near = TabularPolicy(world, greedy_policy(world, ref, BETA))
    row = tracker(world, ref)(near).iloc[0]
    assert row["kl_to_greedy"] == pytest.approx(0, abs=1e-12)
    assert row["depth 0"] < 0.9999  # behind the last token both values agree
    assert row["depth 1"] == pytest.approx(1, abs=1e-9)


def test_seeds_stand_apart(world, ref, other, stack):
    best = solutions.optimal_policy(ref, world.gold, BETA)
    frame = tracker(world, ref)(stack(world, [best, other]))
    assert frame["seed"].tolist() == [0, 1]
    assert frame["rank"][0] == pytest.approx(1)
    assert abs(frame["rank"][1]) < 0.9
    kl = solutions.kl(other, greedy_policy(world, ref, BETA)).mean().item()
    assert frame["kl_to_greedy"][1] == pytest.approx(kl)
