"""APO-down by hand, and which way it pushes the chosen response."""

import math

import pytest
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
from workbench.methods.direct.links import apo_down, apo_zero

# β·1.5 = log 3: σ(s_c) = 3/4; M = β·2.5 = (5/3)·log 3
CFG = apo_down.Config(beta=math.log(3) / 1.5)
N = TREE.n_responses
LOSE = 1 / (1 + 3 ** (5 / 3))


def hand():
    """One pair: d(y_c) = (−1 + 2) + (−2 + 2.5) = 1.5, d(y_r) = −3 + 2 = −1."""
    return pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])


def grid(at):
    """Pairs with every combination of these d(y_c) and d(y_r)."""
    at = torch.tensor(at, dtype=F64)
    chosen, rejected = torch.meshgrid(at, at, indexing="ij")
    return single_tokens(chosen.flatten(), rejected.flatten())


def check_hand_number(loss):
    """3/4 + 1/(1 + 3^(5/3)) = 0.88813."""
    assert_close(loss(hand(), CFG).tolist(), [0.75 + LOSE])


def check_pushes_by_hand(loss):
    """σ′(M) − σ′(s_c) = LOSE(1 − LOSE) − 3/16 on y_c, −σ′(M) on y_r, times β."""
    batch = hand()
    up, down = pulls(loss, batch, CFG)
    both = LOSE * (1 - LOSE)
    assert_close(up, CFG.beta * (both - 3 / 16) * batch.chosen_mask.to(F64))
    assert_close(down, -CFG.beta * both * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert reference_gradients(loss, hand(), CFG) == 0


def check_chosen_falls_if_and_only_if_the_margin_is_the_larger(loss):
    """Sign of the push on y_c: that of |s_c| − |M|; y_r is always pushed down."""
    batch = grid([-4.0, -1.7, -0.3, 0.0, 0.5, 1.1, 2.9])
    up, down = pulls(loss, batch, CFG)
    difference = batch.chosen.logratio().abs() - batch.margin().abs()
    clear = difference.abs() > 1e-9
    assert (up.flatten()[clear].sign() == difference[clear].sign()).all()
    assert up.flatten()[~clear].abs().max() < 1e-12
    assert (down < 0).all()


def check_population_gradient(loss):
    """Each pair adds its pushes to its two log-ratios, all others share the rest."""
    ref, policy, prefers = random_logps(1), random_logps(2), random(4, N, N).sigmoid()
    weight = random(3, N, N).exp()
    s = CFG.beta * (policy - ref)
    own, both = s.sigmoid(), (s[:, None] - s).sigmoid()
    both, own = both * (1 - both), (own * (1 - own))[:, None]
    seen = CFG.beta * weight * prefers
    push = (seen * (both - own)).sum(1) - (seen * both).sum(0)
    gradient = population_gradient(loss, CFG, policy, ref, prefers, weight)
    assert_close(gradient, policy.exp() * push.sum() - push)


CHECKS = [
    check_hand_number,
    check_pushes_by_hand,
    check_reference_gets_no_gradient,
    check_chosen_falls_if_and_only_if_the_margin_is_the_larger,
    check_population_gradient,
]


def test_the_chosen_response_is_not_pushed_at_the_start():
    batch = single_tokens(torch.zeros(1, dtype=F64), torch.zeros(1, dtype=F64))
    assert apo_down.loss(batch, CFG).tolist() == [1.0]
    up, down = pulls(apo_down.loss, batch, CFG)
    assert up.item() == 0 and down.item() == pytest.approx(-CFG.beta / 4)


def descend(loss):
    """Log-ratios of a pair among three responses after descent from the reference."""
    ref = torch.tensor([0.3, 0.3, 0.4], dtype=F64).log()
    logits = ref.clone().requires_grad_()
    for _ in range(400):
        ratio = logits.log_softmax(-1) - ref
        value = loss(single_tokens(ratio[:1], ratio[1:2]), CFG)
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        logits = (logits - 0.5 * gradient).detach().requires_grad_()
    return (logits.log_softmax(-1) - ref).detach()


def test_the_response_outside_the_pair_wins_and_under_apo_zero_the_chosen_one():
    chosen, rejected, outside = descend(apo_down.loss).tolist()
    assert rejected < chosen - 1 and chosen < -0.5 and outside > 0.5
    chosen, rejected, outside = descend(apo_zero.loss).tolist()
    assert chosen > 0.5 and rejected < -1 and outside < chosen
