"""Ratios and clips by hand."""

import math

import torch
from torch.testing import assert_close

from workbench.core.surrogate import (
    clip_fraction,
    clipped_error,
    clipped_gain,
    clipped_weight,
    importance_ratio,
)


def test_ratio_is_one_on_policy_and_finite_far_from_it():
    logps = torch.tensor([-1.0, -1.0, -1.0])
    old = torch.tensor([-1.0, -1.0 - math.log(2), -200.0])
    ratio = importance_ratio(logps, old)
    assert_close(ratio, torch.tensor([1.0, 2.0, math.exp(20)]))


def test_old_policy_gets_no_gradient():
    logps = torch.zeros(2, requires_grad=True)
    old = torch.zeros(2, requires_grad=True)
    importance_ratio(logps, old).sum().backward()
    assert old.grad is None
    assert logps.grad.tolist() == [1, 1]


def test_gain_is_the_smaller_of_clipped_and_not():
    """A = 1: 0.5, 1, min(1.5, 1.2); A = −1: max sizes 0.8, 1, 1.5."""
    ratio = torch.tensor([0.5, 1.0, 1.5])
    up = clipped_gain(ratio, torch.ones(3), 0.2)
    down = clipped_gain(ratio, -torch.ones(3), 0.2)
    assert_close(up, torch.tensor([0.5, 1.0, 1.2]))
    assert_close(down, torch.tensor([-0.8, -1.0, -1.5]))


def test_weight_is_the_clipped_ratio_and_a_constant():
    """π/π_ref = 0.05, 1.5 and 3 with ε = 0.9: 0.1, 1.5 and 1.9."""
    logratio = torch.tensor([0.05, 1.5, 3.0]).log().requires_grad_()
    weight = clipped_weight(logratio, 0.9)
    assert_close(weight, torch.tensor([0.1, 1.5, 1.9]))
    assert not weight.requires_grad
    assert_close(clipped_weight(logratio, math.inf), logratio.detach().exp())


def test_error_is_the_larger_of_clipped_and_not():
    """V_old = 0, G = 1, clip 0.2: V = 0.5 counts as 0.2, V = −0.5 as itself."""
    values = torch.tensor([0.1, 0.5, -0.5])
    zeros, ones = torch.zeros(3), torch.ones(3)
    hand = torch.tensor([0.9**2, 0.8**2, 1.5**2]) / 2
    assert_close(clipped_error(values, zeros, ones, 0.2), hand)


def test_clip_fraction_counts_masked_tokens_only():
    ratio = torch.tensor([[1.0, 1.3, 0.5, 9.0]])
    mask = torch.tensor([[True, True, True, False]])
    assert clip_fraction(ratio, mask, 0.2) == 2 / 3
