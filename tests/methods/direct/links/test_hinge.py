"""The hinge by hand, its slope, and where all pairs of a small world let go."""

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
from workbench.methods.direct.links import hinge
from workbench.worlds.solutions import optimal_policy

CFG = hinge.Config(beta=0.3)
N = TREE.n_responses
RANK = torch.arange(N, dtype=F64).roll(5)
ABOVE = (RANK[:, None] > RANK).to(F64)


def hand():
    """One pair: d(y_c) = (−1 + 2) + (−2 + 2.5) = 1.5, d(y_r) = −3 + 2 = −1, D = 2.5."""
    return pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])


def check_hand_number(loss):
    """β D = 0.75 is 1/4 short of 1."""
    assert_close(loss(hand(), CFG).tolist(), [0.25])


def check_zero_past_the_margin(loss):
    """β = 0.5: βD = 1.25, no value and no gradient."""
    cfg = hinge.Config(beta=0.5)
    assert loss(hand(), cfg).tolist() == [0.0]
    assert all(pull.abs().max() == 0 for pull in pulls(loss, hand(), cfg))


def check_push_is_beta_before_the_margin(loss):
    """−dL/d log π_t = ±0.3 on response tokens, at any distance."""
    batch = hand()
    up, down = pulls(loss, batch, CFG)
    assert_close(up, 0.3 * batch.chosen_mask.to(F64))
    assert_close(down, -0.3 * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert reference_gradients(loss, hand(), CFG) == 0


def check_nothing_moves_if_and_only_if_every_margin_is_reached(loss):
    """π ∝ π_ref exp(k·rank/β) has βD = k times the difference of the ranks.

    At k = 1.01 all 78 ordered pairs are past 1. At k = 3/4 the 12 pairs of neighbours
    are 1/4 short and all others are past.
    """
    ref = random_logps(1)
    for k, total in ((1.01, 0.0), (0.75, 3.0)):
        policy = optimal_policy(ref, k * RANK, CFG.beta)
        values = ABOVE.flatten() @ loss(all_pairs(policy, ref), CFG)
        assert_close(values.item(), total, atol=1e-9, rtol=0)
        gradient = population_gradient(
            loss, CFG, policy, ref, ABOVE, torch.ones_like(ABOVE)
        )
        assert (gradient.abs().max().item() > 0.1) == (total > 0)


CHECKS = [
    check_hand_number,
    check_zero_past_the_margin,
    check_push_is_beta_before_the_margin,
    check_reference_gets_no_gradient,
    check_nothing_moves_if_and_only_if_every_margin_is_reached,
]


def test_loss_is_the_link_of_the_margin():
    batch = all_pairs(random_logps(4), random_logps(1))
    assert_close(hinge.loss(batch, CFG), hinge.link(batch.margin(), CFG))


def test_weight_is_minus_the_slope_of_the_link_and_0_at_the_margin_itself():
    margin = (5 * random(5, 9)).requires_grad_()
    hinge.link(margin, CFG).sum().backward()
    assert_close(hinge.weight(margin.detach(), CFG), -margin.grad)
    cfg = hinge.Config(beta=0.5)
    assert hinge.weight(torch.tensor([1.99, 2.0, 2.01]), cfg).tolist() == [0.5, 0, 0]


@pytest.mark.parametrize("p", [0.55, 0.9])
def test_a_soft_label_is_learned_by_its_sign_alone(p):
    """p·L(D) + (1 − p)·L(−D) is least at D = 1/β for p = 0.55 as for p = 0.9."""
    margin = torch.linspace(-2, 2, 161, dtype=F64) / 0.3
    both = p * hinge.link(margin, CFG) + (1 - p) * hinge.link(-margin, CFG)
    assert margin[both.argmin()].item() == pytest.approx(1 / 0.3)


def test_the_optimal_policy_is_not_stationary_under_soft_labels():
    ref, reward = random_logps(1), random(2, N)
    prefers = (reward[:, None] - reward).sigmoid()
    best = optimal_policy(ref, reward, CFG.beta)
    gradient = population_gradient(
        hinge.loss, CFG, best, ref, prefers, torch.ones_like(prefers)
    )
    assert gradient.abs().max() > 0.1


def test_a_hard_pair_stops_at_its_margin():
    margin = torch.zeros(1, dtype=F64)
    for _ in range(1000):
        margin = margin + 0.1 * hinge.weight(margin, CFG)
    assert 1 / 0.3 <= margin.item() < 1 / 0.3 + 0.1 * 0.3
    batch = single_tokens(margin, torch.zeros(1, dtype=F64))
    assert hinge.loss(batch, CFG).item() == 0
