"""KTO by hand, its linearity in the sigmoid, and what follows for its minimum."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64
from tests.methods.thumbs import (
    constant_gradient,
    expected,
    pair_of,
    pulls,
    slope,
    thumbs,
)
from workbench.methods.direct.links import apo_zero
from workbench.methods.direct.unpaired import kto

CFG = kto.Config(beta=0.5, desirable=3.0, undesirable=5.0)
POINT = 2 * math.log(2)
GRID = torch.linspace(-30, 30, 13, dtype=F64)


def hand_batch(point=POINT):
    """β(d − z₀) = log 3 for a thumb up and log(1/4) for one down, at z₀ = 2 log 2."""
    d = [POINT + 2 * math.log(3), POINT - 2 * math.log(4)]
    return thumbs(d, [True, False], point, mean=-1.5)


def check_hand_numbers(loss):
    """3·(1 − 3/4) = 0.75 and 5·(1 − 4/5) = 1."""
    assert_close(loss(hand_batch(), CFG).tolist(), [0.75, 1.0])


def check_both_signs_of_a_thumb(loss):
    """σ(β(d − z₀)) = 3/4: up costs 3/4, down 5·3/4."""
    d = [POINT + 2 * math.log(3)] * 2
    batch = thumbs(d, [True, False], POINT)
    assert_close(loss(batch, CFG).tolist(), [0.75, 3.75])


def check_a_negative_reference_point_counts_as_zero(loss):
    """d = 2 log 3 and z₀ = −4: β(d − 0) = log 3."""
    batch = thumbs([2 * math.log(3)] * 2, [True, False], -4.0)
    assert_close(loss(batch, CFG).tolist(), [0.75, 3.75])


def check_push_is_lambda_beta_times_the_slope_of_the_sigmoid(loss):
    """±λβσ(1 − σ): 3·½·3/16 up, 5·½·4/25 down, the same on every token."""
    batch = hand_batch()
    want = torch.tensor([[9 / 32], [-0.4]], dtype=F64) * batch.mask
    assert_close(pulls(loss, batch, CFG), want)


def check_reference_and_reference_point_are_constants(loss):
    """No gradient reaches what the batch only reports."""
    assert constant_gradient(loss, hand_batch(), CFG) == 0


def check_linear_in_the_sigmoid(loss):
    """q = 0.8: λ_d q − (λ_d q − λ_u(1 − q))σ = 2.4 − 1.4σ. At q = 0.5: 1.5 + σ."""
    inside = (CFG.beta * (GRID - POINT)).sigmoid()
    assert_close(expected(loss, CFG, GRID, 0.8, POINT), 2.4 - 1.4 * inside)
    assert_close(expected(loss, CFG, GRID, 0.5, POINT), 1.5 + inside)


CHECKS = [
    check_hand_numbers,
    check_both_signs_of_a_thumb,
    check_a_negative_reference_point_counts_as_zero,
    check_push_is_lambda_beta_times_the_slope_of_the_sigmoid,
    check_reference_and_reference_point_are_constants,
    check_linear_in_the_sigmoid,
]


@pytest.mark.parametrize("chance", [0.1, 0.62, 0.63, 0.9])
def test_there_is_no_finite_minimiser(chance):
    """The slope keeps one sign: down where λ_d q > λ_u(1 − q), q > 5/8; else up."""
    found = slope(kto.loss, CFG, GRID, chance, POINT)
    assert (found < 0).all() if chance > 5 / 8 else (found > 0).all()


def test_push_dies_out_on_very_good_and_on_very_bad_responses():
    far = torch.tensor([-80.0, 0, 80], dtype=F64)
    low, middle, high = slope(kto.loss, CFG, far, 1.0).abs()
    assert low < 1e-15 < 1e-2 < middle
    assert high < 1e-15
    assert_close(middle.item(), CFG.desirable * CFG.beta / 4)


def test_without_a_reference_point_the_pair_is_apo_zero():
    """z₀ = 0, λ = 1: a thumb up and one down cost what APO-zero asks of the pair."""
    batch = thumbs([1.7, -0.6], [True, False], point=0.0)
    both = kto.loss(batch, kto.Config(beta=0.3)).sum()
    assert_close(both, apo_zero.loss(pair_of(batch), apo_zero.Config(beta=0.3))[0])
    moved = replace(batch, reference_point=batch.reference_point + 1)
    assert kto.loss(moved, kto.Config(beta=0.3)).sum() != both


def test_a_constant_added_to_all_log_ratios_changes_the_loss():
    """Unlike DPO's, the loss knows where d is, not only differences."""
    value = kto.loss(hand_batch(), CFG)
    raised = thumbs(hand_batch().logratio() + 0.5, [True, False], POINT)
    assert (kto.loss(raised, CFG) - value).abs().min() > 0.1
    # but moving z₀ along undoes it
    together = thumbs(hand_batch().logratio() + 0.5, [True, False], POINT + 0.5)
    assert_close(kto.loss(together, CFG), value)
