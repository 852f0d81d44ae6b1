"""Cross-entropy of each label and σ(s): by hand, its zero, residuals as π."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random_logps
from tests.methods.listwise import (
    constant_gradient,
    logit_gradients,
    pulls,
    shifted,
    single_tokens,
    with_logratios,
)
from workbench.methods.direct.lists import point_sigmoid

CFG = point_sigmoid.Config(beta=0.4, labels="scores")
WINS = point_sigmoid.Config(beta=0.4)
EVERYTHING = torch.arange(TREE.n_responses)[None]


def hand_list(scores=(0.25, 0.75, 0.5)):
    """e^s = (1, 2, 6), so σ(s) = (1/2, 2/3, 6/7)."""
    return with_logratios([math.log(v) / 0.4 for v in (1, 2, 6)], scores)


def check_hand_number(loss):
    """Σ log(1 + e^s) − ψs = log(2 · 3 · 7) − 0.75 log 2 − 0.5 log 6."""
    value = math.log(42) - 0.75 * math.log(2) - 0.5 * math.log(6)
    assert_close(loss(hand_list(), CFG).tolist(), [value])


def check_pulls(loss):
    """β(ψ − σ(s)) = β(−1/4, 1/12, −5/14)."""
    pull = 0.4 * torch.tensor([-1 / 4, 1 / 12, -5 / 14], dtype=F64)
    batch = hand_list()
    assert_close(pulls(loss, batch, CFG), pull[None, :, None] * batch.mask)


def check_labels_are_win_rates_unless_told(loss):
    """Three equal scores win 1/2 each: log 42 − log(1 · 2 · 6)/2."""
    value = math.log(42) - math.log(12) / 2
    assert_close(loss(hand_list((7.0, 7.0, 7.0)), WINS).tolist(), [value])


def check_constants_get_no_gradient(loss):
    assert constant_gradient(loss, hand_list(), CFG) == 0
    assert constant_gradient(loss, hand_list(), WINS) == 0


def check_residuals_of_the_minimiser_are_proportional_to_the_policy(loss):
    """Any π and c give labels ψ = σ(s) + cπ for which π is stationary."""
    ref, policy = random_logps(1), random_logps(2)
    psi = (CFG.beta * (policy - ref)).sigmoid() - 0.3 * policy.exp()
    assert (psi > 0).all() and (psi < 1).all()
    found = logit_gradients(loss, CFG, policy, ref, psi, EVERYTHING)
    assert found.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_pulls,
    check_labels_are_win_rates_unless_told,
    check_constants_get_no_gradient,
    check_residuals_of_the_minimiser_are_proportional_to_the_policy,
]


def test_labels_with_the_right_zero_are_met():
    """ψ = σ(s) of some policy: no logit of it is to move, in any list."""
    ref, policy = random_logps(1), random_logps(2)
    psi = (CFG.beta * (policy - ref)).sigmoid()
    members = EVERYTHING[:, 3:6]
    found = logit_gradients(point_sigmoid.loss, CFG, policy, ref, psi, members)
    assert found.abs().max() < 1e-12
    found = logit_gradients(point_sigmoid.loss, CFG, ref, ref, psi, members)
    assert found.abs().max() > 1e-2


def test_a_label_outside_the_unit_interval_has_no_minimum():
    """ψ = 1.2: the loss falls as −0.2 s for large s."""
    far = torch.tensor([[0.0], [500.0], [1000.0]], dtype=F64)
    batch = single_tokens(far, torch.full((3, 1), 1.2, dtype=F64), ref=-5000.0)
    values = point_sigmoid.loss(batch, CFG)
    assert_close((values[1:] - values[:-1])[1].item(), -0.2 * 0.4 * 500)


def test_far_apart_values_stay_finite():
    batch = single_tokens(
        torch.tensor([[-1e5, 1e5]], dtype=F64), torch.eye(2)[:1].to(F64)
    )
    assert_close(point_sigmoid.loss(batch, CFG).tolist(), [8e4])


def test_a_constant_added_to_all_log_ratios_changes_the_loss():
    moved = point_sigmoid.loss(shifted(hand_list(), 0.9), CFG)
    assert abs(moved - point_sigmoid.loss(hand_list(), CFG)) > 0.01
