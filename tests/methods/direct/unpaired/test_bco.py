"""BCO by hand, its pointwise optimum, and the bound that it is on DPO."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64
from tests.methods.thumbs import (
    constant_gradient,
    expected,
    one_token,
    pair_of,
    pulls,
    slope,
    thumbs,
)
from workbench.methods.direct.links import dpo
from workbench.methods.direct.unpaired import bco

CFG = bco.Config(beta=0.5)
PLAIN = bco.Config(beta=0.5, centred=False)
MEAN = 2 * math.log(2)


def hand_batch():
    """s − δ = log 3 for a thumb up and log(1/4) for one down, at δ = log 2."""
    d = [MEAN + 2 * math.log(3), MEAN - 2 * math.log(4)]
    return thumbs(d, [True, False], point=0.7, mean=MEAN)


def check_hand_numbers(loss):
    """−log(3/4) and −log(4/5)."""
    want = [math.log(4 / 3), math.log(5 / 4)]
    assert_close(loss(hand_batch(), CFG).tolist(), want)


def check_hand_numbers_without_the_shift(loss):
    """s = log 6 and log(1/2): −log(6/7) and −log(2/3)."""
    want = [math.log(7 / 6), math.log(3 / 2)]
    assert_close(loss(hand_batch(), PLAIN).tolist(), want)


def check_push_is_beta_times_the_error(loss):
    """β(1 − 3/4) up and −β·(1/5) down, the same on every token."""
    batch = hand_batch()
    want = torch.tensor([[1 / 8], [-1 / 10]], dtype=F64) * batch.mask
    assert_close(pulls(loss, batch, CFG), want)


def check_reference_and_shift_are_constants(loss):
    """No gradient reaches what the batch only reports."""
    assert constant_gradient(loss, hand_batch(), CFG) == 0


def check_optimum_is_the_log_odds_of_a_thumb_up(loss):
    """Slope 0 at d = mean + log(q/(1 − q))/β, and of the right sign beside it."""
    for chance in (0.1, 0.5, 0.9):
        best = MEAN + math.log(chance / (1 - chance)) / CFG.beta
        at = torch.tensor([best - 1, best, best + 1], dtype=F64)
        below, here, above = slope(loss, CFG, at, chance, mean=MEAN).tolist()
        assert abs(here) < 1e-14
        assert below < -0.01 < 0.01 < above


CHECKS = [
    check_hand_numbers,
    check_hand_numbers_without_the_shift,
    check_push_is_beta_times_the_error,
    check_reference_and_shift_are_constants,
    check_optimum_is_the_log_odds_of_a_thumb_up,
]


def on_a_grid():
    """Pairs (d_c, d_r) with a shift each, and DPO's margin."""
    one = torch.linspace(-12, 12, 9, dtype=F64)
    chosen, rejected, mean = torch.cartesian_prod(one, one, one).T
    return chosen, rejected, mean


def of_pairs(chosen, rejected, mean):
    """BCO of a thumb up on the chosen and one down on the rejected response."""
    up = bco.loss(one_token(chosen, True, mean=mean), CFG)
    return up + bco.loss(one_token(rejected, False, mean=mean), CFG)


def test_on_pairs_it_is_an_upper_bound_of_dpo():
    """−log σ(a) − log σ(b) > −log σ(a + b) for all a and b, whatever the shift."""
    chosen, rejected, mean = on_a_grid()
    below = dpo.link(chosen - rejected, dpo.Config(beta=CFG.beta))
    bound = of_pairs(chosen, rejected, mean)
    assert (bound > below).all()
    assert (bound - below).min() < 0.2


def test_the_bound_is_tightest_at_the_mean_of_the_pair():
    """There it is 2 log(1 + e^{−βD/2}), and no shift does better."""
    chosen, rejected, mean = on_a_grid()
    middle = of_pairs(chosen, rejected, (chosen + rejected) / 2)
    half = dpo.link(chosen - rejected, dpo.Config(beta=CFG.beta / 2))
    assert_close(middle, 2 * half)
    assert (of_pairs(chosen, rejected, mean) >= middle - 1e-12).all()


def test_the_bound_holds_for_pairs_of_several_tokens():
    batch = thumbs([1.7, -0.6], [True, False], mean=0.55)
    below = dpo.loss(pair_of(batch), dpo.Config(beta=CFG.beta))
    assert bco.loss(batch, CFG).sum() > below[0]


def test_convex_in_the_log_ratio_unlike_kto():
    grid = torch.linspace(-20, 20, 41, dtype=F64)
    value = expected(bco.loss, CFG, grid, 0.3)
    assert (value[2:] - 2 * value[1:-1] + value[:-2] > 0).all()


def test_a_constant_added_to_all_log_ratios_changes_the_loss():
    """At a fixed shift; a shift that moves along undoes it."""
    value, d = bco.loss(hand_batch(), CFG), hand_batch().logratio() + 0.5
    raised = bco.loss(thumbs(d, [True, False], mean=MEAN), CFG)
    assert (raised - value).abs().min() > 0.01
    along = bco.loss(thumbs(d, [True, False], mean=MEAN + 0.5), CFG)
    assert_close(along, value)
