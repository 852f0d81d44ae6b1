"""APO-zero by hand: two pushes that do not know of each other."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.pairwise import (
    pair,
    population_gradient,
    pulls,
    reference_gradients,
    single_tokens,
)
from workbench.methods.direct.links import apo_zero

# β·1.5 = log 3: σ(s_c) = 3/4; s_r = −(2/3)·log 3
CFG = apo_zero.Config(beta=math.log(3) / 1.5)
N = TREE.n_responses
LOW = 1 / (1 + 3 ** (2 / 3))


def hand():
    """One pair: d(y_c) = (−1 + 2) + (−2 + 2.5) = 1.5, d(y_r) = −3 + 2 = −1."""
    return pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])


def check_hand_number(loss):
    """1 − 3/4 + 1/(1 + 3^(2/3)) = 0.57464."""
    assert_close(loss(hand(), CFG).tolist(), [0.25 + LOW])


def check_pushes_by_hand(loss):
    """β·3/16 up on y_c; β·σ(1 − σ) of its own s down on y_r."""
    batch = hand()
    up, down = pulls(loss, batch, CFG)
    assert_close(up, CFG.beta * 3 / 16 * batch.chosen_mask.to(F64))
    push = CFG.beta * LOW * (1 - LOW)
    assert_close(down, -push * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert reference_gradients(loss, hand(), CFG) == 0


def check_population_is_linear_in_the_sigmoid(loss):
    """Σ w_ij p_ij L = const − Σ_i c_i σ(βd_i), c_i: weight chosen minus rejected.

    Its gradient in the logits is −(g − π Σ g) with g_i = c_i β σ(βd_i)(1 − σ(βd_i)).
    """
    ref, policy, prefers = random_logps(1), random_logps(2), random(4, N, N).sigmoid()
    weight = random(3, N, N).exp()
    seen = weight * prefers
    majority = seen.sum(1) - seen.sum(0)
    s = (CFG.beta * (policy - ref)).sigmoid()
    g = majority * CFG.beta * s * (1 - s)
    gradient = population_gradient(loss, CFG, policy, ref, prefers, weight)
    assert_close(gradient, policy.exp() * g.sum() - g)


CHECKS = [
    check_hand_number,
    check_pushes_by_hand,
    check_reference_gets_no_gradient,
    check_population_is_linear_in_the_sigmoid,
]


def test_at_the_reference_the_loss_is_1_and_both_pushes_are_a_quarter_of_beta():
    batch = single_tokens(torch.zeros(1, dtype=F64), torch.zeros(1, dtype=F64))
    assert apo_zero.loss(batch, CFG).tolist() == [1.0]
    up, down = pulls(apo_zero.loss, batch, CFG)
    assert_close((up.item(), down.item()), (CFG.beta / 4, -CFG.beta / 4))


def test_it_is_no_function_of_the_margin():
    chosen = torch.tensor([2.0, 1.0], dtype=F64)
    values = apo_zero.loss(single_tokens(chosen, chosen - 1.5), CFG)
    assert (values[0] - values[1]).abs() > 0.01


def test_the_push_dies_out_on_both_sides():
    chosen = torch.tensor([-40.0, 0.0, 40.0], dtype=F64)
    batch = single_tokens(chosen, torch.zeros_like(chosen), ref=-60.0)
    up, _ = pulls(apo_zero.loss, batch, CFG)
    assert up[0] < 1e-10 and up[2] < 1e-10 < up[1]
