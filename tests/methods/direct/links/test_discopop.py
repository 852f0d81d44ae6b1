"""DiscoPOP by hand, its slope, and the hump at which training begins."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.pairwise import (
    all_pairs,
    pair,
    pulls,
    reference_gradients,
    single_tokens,
)
from workbench.methods.direct.links import discopop, dpo

# M = 2.5 β = 1 and M/τ = log 3 by hand
CFG = discopop.Config(beta=0.4, tau=1 / math.log(3))
PAPER = discopop.Config(beta=0.4, tau=0.05)
N = TREE.n_responses


def hand():
    """One pair: d(y_c) = (−1 + 2) + (−2 + 2.5) = 1.5, d(y_r) = −3 + 2 = −1, D = 2.5."""
    return pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])


def at(scaled, cfg=PAPER):
    """Pairs with these M = βD and a rejected response off the reference."""
    rejected = torch.full((len(scaled),), -1.5, dtype=F64)
    return single_tokens(
        rejected + torch.tensor(scaled, dtype=F64) / cfg.beta, rejected
    )


def check_hand_number(loss):
    """a = 3/4 at M = 1: log(1 + e^−1)/4 + 3/(4e) = 0.35423."""
    by_hand = math.log1p(math.exp(-1)) / 4 + 0.75 / math.e
    assert_close(loss(hand(), CFG).tolist(), [by_hand])


def check_push_by_hand(loss):
    """−dL/dM = (1 − a)σ(−1) + a/e − a(1 − a)/τ·(1/e − log(1 + e^−1)), times β."""
    batch, slope = hand(), 3 / 16 * math.log(3)
    push = 0.25 / (1 + math.e) + 0.75 / math.e
    push = 0.4 * (push - slope * (1 / math.e - math.log1p(math.exp(-1))))
    up, down = pulls(loss, batch, CFG)
    assert_close(up, push * batch.chosen_mask.to(F64))
    assert_close(down, -push * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert reference_gradients(loss, hand(), CFG) == 0


def check_the_hump(loss):
    """At M = 0: (1 + log 2)/2, a push of 3/4 − 5(1 − log 2) < 0; 0 at both ends."""
    assert_close(loss(at([0.0]), PAPER).tolist(), [(1 + math.log(2)) / 2])
    ends = [-0.13, -0.1186, -0.1, 0.0, 0.06, 0.0720, 0.08]
    ups, _ = pulls(loss, at(ends), PAPER)
    ups = (ups.flatten() / PAPER.beta).tolist()
    assert ups[3] == pytest.approx(0.75 - 5 * (1 - math.log(2)))
    assert [round(up, 2) > 0 for up in ups] == [True, *[False] * 5, True]
    assert abs(ups[1]) < 2e-3 and abs(ups[5]) < 2e-3


CHECKS = [
    check_hand_number,
    check_push_by_hand,
    check_reference_gets_no_gradient,
    check_the_hump,
]


def test_loss_is_the_link_of_the_margin():
    batch = all_pairs(random_logps(4), random_logps(1))
    assert_close(discopop.loss(batch, CFG), discopop.link(batch.margin(), CFG))


@pytest.mark.parametrize("cfg", [CFG, PAPER])
def test_weight_is_minus_the_slope_of_the_link(cfg):
    margin = (2 * random(5, 99)).requires_grad_()
    discopop.link(margin, cfg).sum().backward()
    assert_close(discopop.weight(margin.detach(), cfg), -margin.grad)


def test_it_is_logistic_on_the_left_and_exponential_on_the_right():
    left, right = torch.tensor([[-3.0, -2.0], [2.0, 3.0]], dtype=F64) / PAPER.beta
    assert_close(discopop.link(left, PAPER), dpo.link(left, dpo.Config(beta=0.4)))
    assert_close(discopop.link(right, PAPER), (-0.4 * right).exp())


def test_value_and_slope_are_finite_far_on_the_wrong_side():
    """At M = −1200 a·exp(−M) is 0·∞ unless the exponents are added first."""
    margin = torch.tensor([-3000.0, 3000.0], dtype=F64, requires_grad=True)
    value = discopop.link(margin, PAPER)
    value.sum().backward()
    assert_close(value.tolist(), [1200.0, 0.0])
    assert_close(margin.grad.tolist(), [-0.4, 0.0])
    assert_close(discopop.weight(margin.detach(), PAPER), -margin.grad)


def test_a_single_pair_that_starts_at_the_reference_stops_on_the_wrong_side():
    """Small steps from M = 0 end in the minimum at M = −0.1186, value 0.786."""
    margin = torch.zeros((), dtype=F64)
    for _ in range(4000):
        margin = margin + 0.05 * discopop.weight(margin, PAPER)
    assert PAPER.beta * margin.item() == pytest.approx(-0.1186, abs=1e-4)
    assert discopop.link(margin, PAPER).item() == pytest.approx(0.786, abs=1e-3)
    # the far side of the hump is lower: its infimum is 0
    assert discopop.link(torch.tensor(1.0, dtype=F64) / 0.4, PAPER) < 0.5


def test_a_blend_four_times_as_wide_has_no_hump():
    margin = torch.linspace(-5, 5, 1001, dtype=F64) / 0.4
    wide = discopop.Config(beta=0.4, tau=0.2)
    assert (discopop.weight(margin, wide) > 0).all()
    assert (discopop.weight(margin, PAPER) < 0).any()
