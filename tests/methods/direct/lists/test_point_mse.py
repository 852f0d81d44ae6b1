"""Regression of s on ψ: by hand, its zero, and residuals in proportion to π."""

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.listwise import (
    constant_gradient,
    logit_gradients,
    pulls,
    shifted,
    single_tokens,
    with_logratios,
)
from workbench.methods.direct.lists import point_mse
from workbench.worlds.solutions import log_partition, optimal_policy

CFG = point_mse.Config(beta=0.4, labels="scores")
WINS = point_mse.Config(beta=0.4)
EVERYTHING = torch.arange(TREE.n_responses)[None]


def hand_list(scores=(1.0, 0.5, 0.0)):
    """s = 0.4 d = (0.5, −1, 2), so residuals ψ − s are (0.5, 1.5, −2)."""
    return with_logratios([1.25, -2.5, 5.0], scores)


def check_hand_number(loss):
    """0.25 + 2.25 + 4."""
    assert_close(loss(hand_list(), CFG).tolist(), [6.5])


def check_pulls(loss):
    """2β(ψ − s) = β(1, 3, −4)."""
    pull = 0.4 * torch.tensor([1.0, 3.0, -4.0], dtype=F64)
    batch = hand_list()
    assert_close(pulls(loss, batch, CFG), pull[None, :, None] * batch.mask)


def check_labels_are_win_rates_unless_told(loss):
    """Three equal scores win 1/2 each: residuals (0, 1.5, −1.5)."""
    assert_close(loss(hand_list((7.0, 7.0, 7.0)), WINS).tolist(), [4.5])


def check_constants_get_no_gradient(loss):
    assert constant_gradient(loss, hand_list(), CFG) == 0
    assert constant_gradient(loss, hand_list(), WINS) == 0


def check_residuals_of_the_minimiser_are_proportional_to_the_policy(loss):
    """Any π and c give labels ψ = s + cπ for which π is stationary."""
    ref, policy = random_logps(1), random_logps(2)
    psi = CFG.beta * (policy - ref) - 0.7 * policy.exp()
    found = logit_gradients(loss, CFG, policy, ref, psi, EVERYTHING)
    assert found.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_pulls,
    check_labels_are_win_rates_unless_told,
    check_constants_get_no_gradient,
    check_residuals_of_the_minimiser_are_proportional_to_the_policy,
]


def test_labels_with_the_right_zero_are_met_by_the_optimal_policy():
    """ψ = r − β log Z: L = 0 at π*_β."""
    ref, reward = random_logps(1), random(2, TREE.n_responses)
    psi = reward - CFG.beta * log_partition(ref, reward, CFG.beta)
    best = optimal_policy(ref, reward, CFG.beta)
    batch = single_tokens((best - ref)[None], psi[None])
    assert_close(point_mse.loss(batch, CFG).tolist(), [0.0])


def test_with_another_zero_the_optimal_policy_is_not_stationary():
    ref, reward = random_logps(1), random(2, TREE.n_responses)
    best = optimal_policy(ref, reward, CFG.beta)
    psi = reward - CFG.beta * log_partition(ref, reward, CFG.beta) + 0.5
    found = logit_gradients(point_mse.loss, CFG, best, ref, psi, EVERYTHING)
    assert found.abs().max() > 1e-2


def test_a_constant_added_to_all_log_ratios_changes_the_loss():
    moved = point_mse.loss(shifted(hand_list(), 0.9), CFG)
    assert abs(moved - point_mse.loss(hand_list(), CFG)) > 0.01
