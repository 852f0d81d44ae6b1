"""A-LoL with a KL term by hand, and the weight A − b that it comes to."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import TREE, random, random_logps
from tests.methods.scored import (
    constants_gradient,
    every_response,
    hand,
    per_token,
    population_gradient,
    pulls,
)
from workbench.methods.direct.weighted import a_lol_kl, a_lol_ref_free, wbc

CFG = a_lol_kl.Config(b=0.5)
N = TREE.n_responses


def check_hand_numbers(loss):
    """A = 1.5, 0.4, 0 and 2; log-ratios log 3/2, log 1/10, dropped, log 6/5."""
    log = math.log
    by_hand = [
        -1.5 * log(0.15) + 0.5 * log(1.5),
        -0.4 * log(0.05) + 0.5 * log(0.1),
        0.0,
        -2 * log(0.15) + 0.5 * log(1.2),
    ]
    assert_close(loss(hand(), CFG).tolist(), by_hand)


def check_the_pull_is_the_advantage_less_b(loss):
    """1, −0.1, dropped, 1.5: the second response is pushed down with A > 0."""
    by_hand = per_token([[1, 1], [-0.1], [0], [1.5, 1.5, 1.5]])
    assert_close(pulls(loss, hand(), CFG), by_hand)


def check_constants_get_no_gradient(loss):
    """The reference is frozen, and so is the advantage with its value head."""
    names = ("ref", "scores", "baseline")
    assert constants_gradient(loss, hand(), CFG, names) == 0


def check_minimiser_is_the_data_distribution_times_advantage_less_b(loss):
    """π ∝ μ (A − b) where A > b everywhere; two references give the same."""
    mu, reward = random_logps(2), random(3, N)
    value = (reward.min() - CFG.b - 0.2).expand(N)
    best = (mu + (reward - value - CFG.b).log()).log_softmax(-1)
    for ref in (random_logps(1), random_logps(5)):
        gradient = population_gradient(loss, CFG, best, mu, ref, reward, value)
        assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_numbers,
    check_the_pull_is_the_advantage_less_b,
    check_constants_get_no_gradient,
    check_minimiser_is_the_data_distribution_times_advantage_less_b,
]


def test_gradient_is_that_of_cloning_weighted_with_advantage_less_b():
    batch = every_response(
        random_logps(4), random_logps(1), random(3, N), 0 * random(3, N) - 3.0
    )
    other = replace(batch, scores=batch.advantage - CFG.b)
    expected = pulls(wbc.loss, other, wbc.Config())
    assert_close(pulls(a_lol_kl.loss, batch, CFG), expected)


def test_b_0_is_the_reference_free_variant():
    cfg, other = a_lol_kl.Config(b=0.0), a_lol_ref_free.Config()
    assert_close(a_lol_kl.loss(hand(), cfg), a_lol_ref_free.loss(hand(), other))


def test_where_some_advantage_is_below_b_the_loss_has_no_minimum():
    """Halving again and again the mass of a response with 0 < A < b lowers E_μ[L]."""
    mu, reward = random_logps(2), random(3, N)
    value = (reward.min() - CFG.b / 2).expand(N)
    down, values = torch.zeros(N, dtype=torch.float64), []
    down[reward.argmin()] = -1.0
    for depth in (0.0, 50.0, 100.0, 200.0):
        at = (mu + depth * down).log_softmax(-1)
        batch = every_response(at, random_logps(1), reward, value)
        values.append((mu.exp() @ a_lol_kl.loss(batch, CFG)).item())
    steps = [late - early for early, late in zip(values, values[1:], strict=False)]
    slope = 0.5 * CFG.b * mu[reward.argmin()].exp().item()
    assert steps[1:] == pytest.approx([-50 * slope, -100 * slope], rel=1e-6)
    assert steps[0] < 0
