"""EXO on pairs by hand, as a KL, and where single and soft pairs end."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.pairwise import (
    all_pairs,
    pair,
    population_gradient,
    pulls,
    reference_gradients,
    single_tokens,
)
from workbench.methods.direct.links import exo_pref
from workbench.methods.direct.noise import cdpo
from workbench.worlds.solutions import kl, optimal_policy

# 2.5 β = log 3, so σ(M) = 3/4 by hand; ε = 1/10
CFG = exo_pref.Config(beta=math.log(3) / 2.5, epsilon=0.1)
N = TREE.n_responses


def hand():
    """One pair: d(y_c) = (−1 + 2) + (−2 + 2.5) = 1.5, d(y_r) = −3 + 2 = −1, D = 2.5."""
    return pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])


def check_hand_number(loss):
    """q = (3/4, 1/4), p = (9/10, 1/10): 3/4·log(5/6) + 1/4·log(5/2) = 0.092332."""
    by_hand = 0.75 * math.log(5 / 6) + 0.25 * math.log(5 / 2)
    assert_close(loss(hand(), CFG).tolist(), [by_hand])


def check_push_by_hand(loss):
    """β q(1 − q)(log 9 − log 3) = β · 3/16 · log 3 up on y_c, down on y_r."""
    batch = hand()
    push = CFG.beta * 3 / 16 * math.log(3)
    up, down = pulls(loss, batch, CFG)
    assert_close(up, push * batch.chosen_mask.to(F64))
    assert_close(down, -push * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert reference_gradients(loss, hand(), CFG) == 0


def check_a_hard_pair_is_at_rest_at_the_log_odds(loss):
    """At M = log((1 − ε)/ε) = log 9 the loss is 0 and does not push."""
    rejected = torch.tensor([-1.5], dtype=F64)
    batch = single_tokens(rejected + math.log(9) / CFG.beta, rejected)
    assert_close(loss(batch, CFG).tolist(), [0.0], atol=1e-12, rtol=0)
    assert max(pull.abs().max() for pull in pulls(loss, batch, CFG)) < 1e-12


def check_soft_labels_linear_in_the_margin_are_met_exactly(loss):
    """p = 1/2 + (r_i − r_j)/(2 log 9): π ∝ π_ref exp(r/β) rests for all weights."""
    ref, reward = random_logps(1), 0.4 * random(2, N)
    prefers = 0.5 + (reward[:, None] - reward) / (2 * math.log(9))
    weight = random(3, N, N).exp()
    best = optimal_policy(ref, reward, CFG.beta)
    gradient = population_gradient(loss, CFG, best, ref, prefers, weight + weight.T)
    assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_push_by_hand,
    check_reference_gets_no_gradient,
    check_a_hard_pair_is_at_rest_at_the_log_odds,
    check_soft_labels_linear_in_the_margin_are_met_exactly,
]


def test_loss_is_the_link_of_the_margin():
    batch = all_pairs(random_logps(4), random_logps(1))
    assert_close(exo_pref.loss(batch, CFG), exo_pref.link(batch.margin(), CFG))


def test_weight_is_minus_the_slope_of_the_link():
    margin = (5 * random(5, 9)).requires_grad_()
    exo_pref.link(margin, CFG).sum().backward()
    assert_close(exo_pref.weight(margin.detach(), CFG), -margin.grad)


def test_it_is_the_reverse_kl_of_two_responses():
    margin = 4 * random(7, 20)
    choice = torch.stack([CFG.beta * margin, torch.zeros_like(margin)], -1)
    label = torch.tensor([0.9, 0.1], dtype=F64).log()
    assert_close(exo_pref.link(margin, CFG), kl(choice.log_softmax(-1), label))


def test_a_hard_pair_ends_where_cdpo_ends():
    other = cdpo.Config(beta=CFG.beta, epsilon=CFG.epsilon)
    margin = torch.linspace(-30, 30, 601, dtype=F64)
    ours, theirs = exo_pref.weight(margin, CFG), cdpo.weight(margin, other)
    assert (ours.sign() == theirs.sign()).all()
    at = torch.tensor(math.log(9) / CFG.beta, dtype=F64)
    assert abs(exo_pref.weight(at, CFG)) < 1e-12 and abs(cdpo.weight(at, other)) < 1e-12


def test_a_badly_wrong_pair_is_hardly_pushed_and_cdpo_pushes_it_hardest():
    """At M = −20: σ(M)·(20 + log 9) against 1 − ε, in units of β."""
    wrong = torch.tensor(-20 / CFG.beta, dtype=F64)
    push = exo_pref.weight(wrong, CFG) / CFG.beta
    assert push.item() == pytest.approx(math.exp(-20) * (20 + math.log(9)), rel=1e-6)
    other = cdpo.Config(beta=CFG.beta, epsilon=CFG.epsilon)
    assert cdpo.weight(wrong, other) / CFG.beta == pytest.approx(0.9)


@pytest.mark.parametrize("p", [0.3, 0.8, 1.0])
def test_a_soft_pair_ends_at_a_margin_linear_in_its_probability(p):
    """Between −log 9 and log 9 by bisection of p·w(D) − (1 − p)·w(−D)."""
    low, high = -3.0, 3.0
    for _ in range(60):
        middle = (low + high) / 2
        at = torch.tensor(middle / CFG.beta, dtype=F64)
        up, down = exo_pref.weight(at, CFG), exo_pref.weight(-at, CFG)
        low, high = (middle, high) if p * up > (1 - p) * down else (low, middle)
    assert low == pytest.approx((2 * p - 1) * math.log(9), abs=1e-9)


def test_bradley_terry_labels_are_not_met_by_the_optimal_policy():
    ref, reward = random_logps(1), 2 * random(2, N)
    prefers = (reward[:, None] - reward).sigmoid()
    best = optimal_policy(ref, reward, CFG.beta)
    gradient = population_gradient(
        exo_pref.loss, CFG, best, ref, prefers, torch.ones_like(prefers)
    )
    assert gradient.abs().max() > 0.1
