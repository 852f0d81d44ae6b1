"""Weighted behaviour cloning by hand, and its minimiser over all responses."""

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
from workbench.methods.direct.weighted import wbc
from workbench.methods.supervised import sft

CFG = wbc.Config()
N = TREE.n_responses


def check_hand_numbers(loss):
    """−r log π: −2 log 0.15, −log 0.05, 0.5 log 0.9 and −3 log 0.15."""
    logs = [math.log(p) for p in (0.15, 0.05, 0.9, 0.15)]
    by_hand = [-r * lp for r, lp in zip((2, 1, -0.5, 3), logs, strict=True)]
    assert_close(loss(hand(), CFG).tolist(), by_hand)


def check_every_token_is_pulled_with_the_reward(loss):
    """2, 1, −1/2 and 3 on each response token; prompt and padding stay alone."""
    by_hand = per_token([[2, 2], [1], [-0.5], [3, 3, 3]])
    assert_close(pulls(loss, hand(), CFG), by_hand)


def check_minimiser_is_the_data_distribution_times_the_reward(loss):
    """E_μ[−r log π] is a cross-entropy with μ r; here μ differs from π_ref."""
    mu, reward = random_logps(2), random(3, N).exp()
    best = (mu + reward.log()).log_softmax(-1)
    gradient = population_gradient(loss, CFG, best, mu, random_logps(1), reward)
    assert gradient.abs().max() < 1e-12


def check_minimum_and_not_a_maximum(loss):
    """From μ a step against the gradient raises E_π[r]."""
    mu, reward = random_logps(2), random(3, N).exp()
    step = -population_gradient(loss, CFG, mu, mu, random_logps(1), reward)
    moved = (mu + 0.01 * step).log_softmax(-1)
    assert (moved.exp() - mu.exp()) @ reward > 1e-4


CHECKS = [
    check_hand_numbers,
    check_every_token_is_pulled_with_the_reward,
    check_minimiser_is_the_data_distribution_times_the_reward,
    check_minimum_and_not_a_maximum,
]


def test_reward_one_is_sft():
    batch = hand(scores=(1.0, 1.0, 1.0, 1.0))
    assert_close(wbc.loss(batch, CFG), sft.loss(batch, CFG))


def test_neither_reference_nor_baseline_is_read():
    batch = hand()
    other = replace(batch, ref=0 * batch.ref, baseline=batch.baseline + 3)
    assert_close(wbc.loss(other, CFG), wbc.loss(batch, CFG))
    assert constants_gradient(wbc.loss, batch, CFG, ("ref", "baseline")) == 0


def test_a_constant_added_to_the_reward_changes_the_minimiser():
    mu, reward = random_logps(2), random(3, N).exp()
    best = (mu + reward.log()).log_softmax(-1)
    gradient = population_gradient(wbc.loss, CFG, best, mu, random_logps(1), reward + 1)
    assert gradient.abs().max() > 1e-2


def test_mean_over_tokens_divides_the_minimiser_by_the_length():
    mu, reward = random_logps(2), random(3, N).exp()
    length = (TREE.paths(torch.arange(N))[0] >= 0).sum(-1)
    best = (mu + (reward / length).log()).log_softmax(-1)
    cfg = wbc.Config(reduce="mean")
    gradient = population_gradient(wbc.loss, cfg, best, mu, random_logps(1), reward)
    assert gradient.abs().max() < 1e-12
