"""Reward-GOLD by hand, its objective, and where it rests at every prefix."""

import math
from dataclasses import replace

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
from workbench.methods.direct.weighted import r_gold, wbc

CFG = r_gold.Config(floor=0.4)
N = TREE.n_responses


def check_hand_numbers(loss):
    """u = 0.4: tokens of probability 0.5, 0.3 | 0.05 | 0.9 | 0.6, 0.5, 0.5."""
    log = math.log
    by_hand = [
        -2 * (0.5 * log(0.5) + 0.4 * log(0.3)),
        -1 * 0.4 * log(0.05),
        0.5 * 0.9 * log(0.9),
        -3 * (0.6 * log(0.6) + 2 * 0.5 * log(0.5)),
    ]
    assert_close(loss(hand(), CFG).tolist(), by_hand)


def check_pull_is_the_reward_times_the_constant_weight(loss):
    """r max(π_t, 0.4) on each response token."""
    by_hand = per_token([[1, 0.8], [0.4], [-0.45], [1.8, 1.5, 1.5]])
    assert_close(pulls(loss, hand(), CFG), by_hand)


def check_gradient_is_that_of_a_concave_function_of_each_token(loss):
    """Σ_y μ r Σ_t g(π_t), g = u log p below u and p − u + u log u above."""
    mu, reward, u = random_logps(2), random(3, N).exp(), CFG.floor
    at = random(4, N).requires_grad_()
    batch = every_response(at.log_softmax(-1), random_logps(1), reward)
    p = batch.policy.exp()
    g = torch.where(p < u, u * batch.policy, p - u + u * math.log(u))
    total = mu.exp() @ (reward * torch.where(batch.mask, g, 0.0).sum(-1))
    expected = torch.autograd.grad(total, at)[0]
    found = population_gradient(loss, CFG, at.detach(), mu, random_logps(1), reward)
    assert_close(found, -expected)


def prefix_mass(mu, reward):
    """w(s, a) = Σ μ r of the responses through each prefix and action."""
    joint = mu + reward.log()
    total = joint.logsumexp(-1)
    conditionals = TREE.conditionals(joint - total)
    reach = TREE.reach_logps(conditionals)
    return (total + reach[:, None] + conditionals).exp()


def resting(mass, floor):
    """Shares of w; where the best has over u of them, u w/m and the rest for it."""
    best = mass.amax(-1, keepdim=True)
    probs = floor * mass / best
    others = probs.sum(-1, keepdim=True) - floor
    peaked = torch.where(mass == best, 1 - others, probs)
    even = mass / mass.sum(-1, keepdim=True)
    return torch.where(even.amax(-1, keepdim=True) < floor, even, peaked).log()


def check_it_rests_where_the_best_token_takes_the_rest(loss):
    """At every prefix, for a floor below all of the best shares and between them."""
    mu, reward = random_logps(2), random(3, N).exp()
    for floor in (0.1, 0.5):
        best = TREE.response_logps(resting(prefix_mass(mu, reward), floor))
        assert_close(best.logsumexp(-1), torch.zeros_like(best[0]))
        cfg = r_gold.Config(floor=floor)
        gradient = population_gradient(loss, cfg, best, mu, random_logps(1), reward)
        assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_numbers,
    check_pull_is_the_reward_times_the_constant_weight,
    check_gradient_is_that_of_a_concave_function_of_each_token,
    check_it_rests_where_the_best_token_takes_the_rest,
]


def test_floor_one_is_weighted_cloning():
    cfg = r_gold.Config(floor=1.0)
    assert_close(r_gold.loss(hand(), cfg), wbc.loss(hand(), wbc.Config()))
    expected = pulls(wbc.loss, hand(), wbc.Config())
    assert_close(pulls(r_gold.loss, hand(), cfg), expected)


def test_both_kinds_of_prefix_are_tested():
    """At u = 1/2 the best share is above u at some prefixes and below at others."""
    mass = prefix_mass(random_logps(2), random(3, N).exp())
    share = (mass / mass.sum(-1, keepdim=True)).amax(-1)
    assert 0.1 < share.min() < 0.5 < share.max()


def test_neither_reference_nor_baseline_is_read():
    batch = hand()
    other = replace(batch, ref=0 * batch.ref, baseline=batch.baseline + 3)
    assert_close(r_gold.loss(other, CFG), r_gold.loss(batch, CFG))
    assert constants_gradient(r_gold.loss, batch, CFG, ("ref", "baseline")) == 0
