"""Targets and cross-entropy of a list, by numbers and by their derivatives."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, random, random_logps
from workbench.core.kl import categorical_kl
from workbench.core.softmax_targets import cross_entropy, log_targets, targets

THIRDS = torch.tensor([1.0, 3, 2], dtype=F64)


def test_targets_are_powers_of_the_exponential():
    """Scores 0.7 log(1, 3, 2) at temperature 0.7: (1, 3, 2)/6."""
    scores = 0.7 * THIRDS.log()
    assert_close(targets(scores, 0.7), THIRDS / 6)
    assert_close(log_targets(scores, 0.7), (THIRDS / 6).log())
    assert_close(targets(scores, 0.35), THIRDS**2 / 14)


def test_cold_targets_are_hard_and_ties_share():
    assert targets(torch.tensor([0.0, 2, 1], dtype=F64), 1e-3).tolist() == [0, 1, 0]
    assert targets(torch.tensor([2.0, 2, 1], dtype=F64), 1e-3).tolist() == [0.5, 0.5, 0]


def test_targets_are_constants():
    scores = random(1, 2, 3).requires_grad_()
    assert not targets(scores, 0.5).requires_grad
    assert not log_targets(scores, 0.5).requires_grad


def test_cross_entropy_by_hand():
    """q = (1, 2, 4)/7 against p = (1, 3, 2)/6, whatever is added to the logits."""
    want = math.log(7) / 6 + math.log(7 / 2) / 2 + math.log(7 / 4) / 3
    logits = torch.tensor([1.0, 2, 4], dtype=F64).log()
    for shift in (0.0, -30.0, 500.0):
        assert_close(cross_entropy(THIRDS / 6, logits + shift).item(), want)


def test_cross_entropy_is_the_kl_and_the_entropy():
    p, q = random_logps(1, 5), random_logps(2, 5)
    entropy = cross_entropy(p.exp(), p)
    assert_close(cross_entropy(p.exp(), q), categorical_kl(p, q) + entropy)
    assert_close(entropy, -(p.exp() * p).sum())


def test_gradient_and_hessian_are_those_of_a_softmax():
    p, logits = random_logps(1, 5).exp(), 2 * random(2, 5)
    q = logits.softmax(-1)
    slope = torch.func.grad(lambda z: cross_entropy(p, z))(logits)
    bend = torch.func.hessian(lambda z: cross_entropy(p, z))(logits)
    assert_close(slope, q - p)
    assert_close(bend, torch.diag(q) - torch.outer(q, q))
