"""Closed forms against algebra, identities and finite differences."""

import math

import pytest
import torch

from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

WORLD = Reviews(3)
REF = WORLD.author


def two(p: float) -> torch.Tensor:
    return torch.tensor([p, 1 - p], dtype=torch.float64).log()


def test_two_responses_by_hand():
    """π = (¾, ¼), π_ref = (½, ½).

    KL = ¾ log 3/2 + ¼ log ½;  χ² = ½·(9/4 + ¼) − 1 = ¼;  entropy = −¾ log ¾ − ¼ log ¼.
    """
    log_probs, ref = two(0.75), two(0.5)
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert solutions.kl(log_probs, ref).item() == pytest.approx(kl)
    assert solutions.chi2(log_probs, ref).item() == pytest.approx(0.25)
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert solutions.entropy(log_probs).item() == pytest.approx(entropy)


def test_optimal_policy_of_two_responses_by_hand():
    """π_ref = (½, ½), r = (β log 3, 0): π* = (¾, ¼) and Z = ½·3 + ½ = 2."""
    reward = torch.tensor([0.5 * math.log(3), 0.0], dtype=torch.float64)
    best = solutions.optimal_policy(two(0.5), reward, beta=0.5)
    assert best.exp().tolist() == pytest.approx([0.75, 0.25])
    log_z = solutions.log_partition(two(0.5), reward, 0.5)
    assert log_z.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("beta", [0.05, 0.3, 1.0, 10.0])
def test_the_optimum_is_worth_beta_log_z(beta):
    best = solutions.optimal_policy(REF, WORLD.gold, beta)
    worth = solutions.expectation(best, WORLD.gold) - beta * solutions.kl(best, REF)
    log_z = solutions.log_partition(REF, WORLD.gold, beta)
    torch.testing.assert_close(worth, beta * log_z)


def test_any_policy_falls_short_by_beta_times_its_kl_to_the_optimum():
    log_probs = torch.randn(4, WORLD.n_responses, dtype=torch.float64).log_softmax(-1)
    best = solutions.optimal_policy(REF, WORLD.gold, 0.3)
    worth = solutions.expectation(log_probs, WORLD.gold) - 0.3 * solutions.kl(
        log_probs, REF
    )
    top = 0.3 * solutions.log_partition(REF, WORLD.gold, 0.3)
    torch.testing.assert_close(top - worth, 0.3 * solutions.kl(log_probs, best))


def test_reward_shifts_that_depend_on_the_prompt_change_no_optimum():
    shift = torch.tensor([[1.0], [-2.0], [3.0], [0.5]], dtype=torch.float64)
    moved = solutions.optimal_policy(REF, WORLD.gold + shift, 0.3)
    torch.testing.assert_close(moved, solutions.optimal_policy(REF, WORLD.gold, 0.3))


def test_gold_climbs_along_the_path_as_fast_as_its_covariance_with_the_proxy():
    """dE_{π*}[g]/dη = Cov(g, r) with η = 1/β, by central differences."""
    proxy = WORLD.attributes["sentiment"] + WORLD.attributes["colour"]
    eta, h = 2.0, 1e-5
    gold = [
        solutions.expectation(solutions.optimal_policy(REF, proxy, 1 / e), WORLD.gold)
        for e in (eta - h, eta + h)
    ]
    slope = (gold[1] - gold[0]) / (2 * h)
    best = solutions.optimal_policy(REF, proxy, 1 / eta)
    covariance = solutions.covariance(best, WORLD.gold, proxy)
    torch.testing.assert_close(slope, covariance, atol=1e-7, rtol=1e-6)


def test_the_frontier_reports_means_over_prompts():
    row = solutions.frontier(REF, WORLD.gold, WORLD.gold, [0.3]).iloc[0]
    best = solutions.optimal_policy(REF, WORLD.gold, 0.3)
    assert row.kl == pytest.approx(solutions.kl(best, REF).mean().item())
    assert row.gold == row.proxy
    assert row.covariance > 0


def test_chi2_and_kl_are_infinite_where_the_reference_says_never():
    log_probs = two(0.5)
    ref = torch.tensor([0.0, -torch.inf], dtype=torch.float64)
    assert solutions.kl(log_probs, ref).item() == math.inf
    assert solutions.chi2(log_probs, ref).item() == math.inf
    assert solutions.kl(ref, log_probs).item() == pytest.approx(math.log(2))
