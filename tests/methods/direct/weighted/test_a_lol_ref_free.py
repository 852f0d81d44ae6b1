"""A-LoL without a reference by hand, and its minimiser over all responses."""

import math
from dataclasses import replace

import torch
from torch.testing import assert_close

from tests.methods.enumerated import TREE, random, random_logps
from tests.methods.scored import (
    constants_gradient,
    hand,
    per_token,
    population_gradient,
    pulls,
)
from workbench.methods.direct.weighted import a_lol_ref_free, wbc
from workbench.methods.supervised import sft

CFG = a_lol_ref_free.Config()
N = TREE.n_responses


def check_hand_numbers(loss):
    """A = 1.5, 0.4, 0 and 2 times the negative log-probs."""
    parts = zip((1.5, 0.4, 0, 2), (0.15, 0.05, 0.9, 0.15), strict=True)
    assert_close(loss(hand(), CFG).tolist(), [-a * math.log(p) for a, p in parts])


def check_every_token_is_pulled_with_the_advantage(loss):
    """A on each response token; the response below the average stays alone."""
    by_hand = per_token([[1.5, 1.5], [0.4], [0], [2, 2, 2]])
    assert_close(pulls(loss, hand(), CFG), by_hand)


def check_constants_get_no_gradient(loss):
    """The advantage is a constant, and no reference is read."""
    names = ("ref", "scores", "baseline")
    assert constants_gradient(loss, hand(), CFG, names) == 0


def check_minimiser_is_the_data_distribution_times_the_advantage(loss):
    """E_μ[−A log π] is a cross-entropy with μ A, from any μ and at any V."""
    mu, reward = random_logps(2), random(3, N)
    value = (reward.min() - 0.2).expand(N)
    best = (mu + (reward - value).log()).log_softmax(-1)
    gradient = population_gradient(loss, CFG, best, mu, random_logps(1), reward, value)
    assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_numbers,
    check_every_token_is_pulled_with_the_advantage,
    check_constants_get_no_gradient,
    check_minimiser_is_the_data_distribution_times_the_advantage,
]


def test_equal_advantages_are_sft():
    batch = hand(scores=(1.5, 1.6, 1.5, 2.0))
    assert_close(a_lol_ref_free.loss(batch, CFG), sft.loss(batch, CFG))
    assert_close(pulls(a_lol_ref_free.loss, batch, CFG), pulls(sft.loss, batch, CFG))


def test_it_is_weighted_cloning_with_the_advantage_as_reward():
    batch = hand()
    other = replace(batch, scores=batch.advantage)
    assert_close(a_lol_ref_free.loss(batch, CFG), wbc.loss(other, CFG))


def test_drawing_in_proportion_to_the_advantage_squares_it():
    """Data from μ A, as with ``good_priority``: the minimiser is ∝ μ A²."""
    mu, advantage = random_logps(2), random(3, N).exp()
    drawn = (mu + advantage.log()).log_softmax(-1)
    best = (mu + 2 * advantage.log()).log_softmax(-1)
    gradient = population_gradient(
        a_lol_ref_free.loss,
        CFG,
        best,
        drawn,
        random_logps(1),
        advantage,
        torch.zeros_like(mu),
    )
    assert gradient.abs().max() < 1e-12
