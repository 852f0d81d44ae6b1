"""ORPO by hand, the slope of log odds, and the minimisers of its two terms."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import logsigmoid
from torch.testing import assert_close

from tests.methods.enumerated import F64, random, random_logps, token_logps
from tests.methods.pairwise import (
    chosen_from,
    pair,
    population_gradient,
    pulls,
    summing_to_one,
)
from workbench.methods.direct.length import simpo
from workbench.methods.direct.links import orpo
from workbench.worlds.tree import PrefixTree

CFG = orpo.Config(lam=0.3)
TREE = PrefixTree(n_words=2, depth=3)  # 15 responses of 1, 2 or 3 tokens
N = TREE.n_responses
LENGTHS = token_logps(TREE, random_logps(0, N))[1].sum(-1).to(F64)
HALF, FIFTH = math.log(0.5), math.log(0.2)


def hand_batch(seen=0.2):
    """Means log(1/2) over two tokens and log(1/5) over one: odds 1 and 1/4."""
    return pair(
        [HALF + seen, HALF - seen],
        [FIFTH],
        ref_chosen=[-3.0, -1.0],
        ref_rejected=[-2.0],
    )


def check_hand_number(loss):
    """NLL log 2 per token, odds ratio 4, σ(log 4) = 4/5: log 2 + 0.3 · log(5/4)."""
    assert_close(loss(hand_batch(), CFG).tolist(), [math.log(2) + 0.3 * math.log(1.25)])


def check_pulls_are_scaled_by_one_over_one_minus_p(loss):
    """Error 1 − 4/5: chosen (1 + 0.3 · 0.2/(1 − 1/2))/2 each, rejected −0.06/0.8."""
    batch = hand_batch()
    up, down = pulls(loss, batch, CFG)
    assert_close(up, 0.56 * batch.chosen_mask.to(F64))
    assert_close(down, -0.075 * batch.rejected_mask.to(F64))


def check_the_reference_is_not_read(loss):
    """Another reference, the same loss."""
    batch = hand_batch()
    moved = replace(batch, ref_chosen=batch.ref_chosen - 0.7)
    assert_close(loss(moved, CFG), loss(batch, CFG))


def minimiser(reward):
    """σ(r + c)^|y|, c such that it sums to one."""
    return summing_to_one(lambda c: LENGTHS * logsigmoid(reward + c))


def check_minimiser_of_both_terms(loss):
    """Chosen responses from |y| σ(r + c)^|y|: NLL and odds end at one distribution."""
    reward = random(2, N)
    prefers = (reward[:, None] - reward).sigmoid()
    best = minimiser(reward)
    weight = chosen_from((best + LENGTHS.log()).log_softmax(-1), reward)
    for lam in (0.3, 2.0):
        cfg = orpo.Config(lam=lam)
        gradient = population_gradient(
            loss, cfg, best, random_logps(1, N), prefers, weight, TREE
        )
        assert gradient.abs().max() < 1e-7


def check_a_certain_response_costs_a_finite_number(loss):
    """p = 1 of the rejected: odds 1e9 against 1, so L = log 2 + 0.3 log(1 + 1e9)."""
    batch = pair([HALF], [0.0], ref_chosen=[-3.0], ref_rejected=[-2.0])
    found = loss(batch, CFG).item()
    assert abs(found - math.log(2) - 0.3 * math.log1p(1e9)) < 1e-6


CHECKS = [
    check_a_certain_response_costs_a_finite_number,
    check_hand_number,
    check_pulls_are_scaled_by_one_over_one_minus_p,
    check_the_reference_is_not_read,
    check_minimiser_of_both_terms,
]


def test_minimiser_of_the_odds_term_for_any_weights_of_the_pairs():
    """(L at λ = 2) − (L at λ = 1) is the odds term alone."""
    reward = random(2, N)
    weight = random(3, N, N).exp()
    prefers = (reward[:, None] - reward).sigmoid()

    def odds_term(batch, _):
        two, one = orpo.Config(lam=2.0), orpo.Config(lam=1.0)
        return orpo.loss(batch, two) - orpo.loss(batch, one)

    def at(logps):
        return population_gradient(
            odds_term, None, logps, random_logps(1, N), prefers, weight + weight.T, TREE
        )

    assert at(minimiser(reward)).abs().max() < 1e-7
    assert at(reward.log_softmax(-1)).abs().max() > 1e-2


def test_as_p_goes_to_zero_the_odds_term_becomes_simpo():
    """Every token lowered by s nats: log odds − log p is at most 2 e^(−s)."""
    cfg = simpo.Config(beta=1.0, gamma=0.0)
    gaps = []
    for sunk in (2.0, 6.0, 12.0):
        batch = pair([-sunk - 0.5, -sunk], [-sunk - 1.0], [-1.0, -1.0], [-1.0])
        odds_term = orpo.loss(batch, CFG) + batch.chosen.logps("mean")
        gaps.append((odds_term / CFG.lam - simpo.loss(batch, cfg)).abs().item())
        assert gaps[-1] < 2 * math.exp(-sunk)
    assert gaps[0] > 1e-2 > 1e-6 > gaps[-1]


def test_slope_of_log_odds_is_one_over_one_minus_p():
    mean = torch.tensor([-7.0, -1.0, -0.1, -1e-4], dtype=F64, requires_grad=True)
    (slope,) = torch.autograd.grad(orpo.log_odds(mean).sum(), mean)
    assert_close(slope, 1 / (1 - mean.exp()), rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_certain_response_has_finite_odds_and_is_still_pushed(dtype):
    """p = 1: log odds end at log 1e9, and the gradient keeps its sign."""
    mean = torch.tensor([0.0, -200.0], dtype=dtype, requires_grad=True)
    value = orpo.log_odds(mean)
    (slope,) = torch.autograd.grad(value.sum(), mean)
    assert_close(value.tolist(), [math.log(1e9), -200.0], rtol=1e-6, atol=1e-6)
    assert slope[0] > 1e8
    assert slope[1] == pytest.approx(1.0)


def test_a_likely_rejected_response_is_pushed_harder_than_by_a_probability_ratio():
    """1/(1 − p): ten times as hard at p = 0.9."""
    batch = pair([math.log(0.9)], [math.log(0.9)], [-1.0], [-1.0])
    _, odds = pulls(orpo.loss, batch, CFG)
    _, ratio = pulls(simpo.loss, batch, simpo.Config(beta=1.0, gamma=0.0))
    assert_close(odds.sum(), 10 * 0.3 * ratio.sum(), rtol=1e-6, atol=0)
