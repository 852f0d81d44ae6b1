"""rDPO by hand, its mean over flips, and the clean optimum from flipped labels."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.pairwise import (
    all_pairs,
    pair,
    population_gradient,
    pulls,
    reference_gradients,
)
from workbench.methods.direct.links import dpo
from workbench.methods.direct.noise import cdpo, rdpo
from workbench.worlds.solutions import optimal_policy

CFG = rdpo.Config(beta=0.4, epsilon=0.2)
N = TREE.n_responses


def hand():
    """One pair: d(y_c) = (−1 + 2) + (−2 + 2.5) = 1.5, d(y_r) = −3 + 2 = −1, D = 2.5."""
    return pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])


def flipped(batch):
    """The same pairs with their labels flipped."""
    return type(batch)(
        policy_chosen=batch.policy_rejected,
        policy_rejected=batch.policy_chosen,
        ref_chosen=batch.ref_rejected,
        ref_rejected=batch.ref_chosen,
        chosen_mask=batch.rejected_mask,
        rejected_mask=batch.chosen_mask,
    )


def check_hand_number(loss):
    """M = 1: (0.8·log(1 + e^−1) − 0.2·log(1 + e))/0.6 = −0.02007."""
    by_hand = (0.8 * math.log1p(math.exp(-1)) - 0.2 * math.log1p(math.e)) / 0.6
    assert_close(loss(hand(), CFG).tolist(), [by_hand])


def check_push_by_hand(loss):
    """β(0.8·σ(−1) + 0.2·σ(1))/0.6 up on each token of y_c, down on y_r."""
    batch = hand()
    guess = 1 / (1 + math.exp(-1))
    push = 0.4 * (0.8 * (1 - guess) + 0.2 * guess) / 0.6
    up, down = pulls(loss, batch, CFG)
    assert_close(up, push * batch.chosen_mask.to(F64))
    assert_close(down, -push * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert reference_gradients(loss, hand(), CFG) == 0


def check_mean_over_flips_is_dpo(loss):
    """(1 − ε)·L(pair) + ε·L(flipped pair) = L_DPO(pair) on all 169 pairs."""
    batch = all_pairs(random_logps(4, scale=2.0), random_logps(1))
    mean = 0.8 * loss(batch, CFG) + 0.2 * loss(flipped(batch), CFG)
    assert_close(mean, dpo.loss(batch, dpo.Config(beta=0.4)))


def check_clean_optimum_is_stationary_under_flipped_labels(loss):
    """Labels P̃ = 0.8·P + 0.2·(1 − P): π*_β of the clean reward rests."""
    assert slope_at_the_clean_optimum(loss) < 1e-12


def slope_at_the_clean_optimum(loss, cfg=CFG):
    """The largest gradient at π*_β when one label in five is flipped."""
    ref, reward = random_logps(1), 2 * random(2, N)
    clean = (reward[:, None] - reward).sigmoid()
    seen = 0.8 * clean + 0.2 * (1 - clean)
    weight = random(3, N, N).exp()
    best = optimal_policy(ref, reward, CFG.beta)
    gradient = population_gradient(loss, cfg, best, ref, seen, weight + weight.T)
    return gradient.abs().max().item()


CHECKS = [
    check_hand_number,
    check_push_by_hand,
    check_reference_gets_no_gradient,
    check_mean_over_flips_is_dpo,
    check_clean_optimum_is_stationary_under_flipped_labels,
]


def test_loss_is_the_link_of_the_margin():
    batch = all_pairs(random_logps(4), random_logps(1))
    assert_close(rdpo.loss(batch, CFG), rdpo.link(batch.margin(), CFG))


def test_weight_is_minus_the_slope_of_the_link():
    margin = (5 * random(5, 9)).requires_grad_()
    rdpo.link(margin, CFG).sum().backward()
    assert_close(rdpo.weight(margin.detach(), CFG), -margin.grad)


def test_it_is_dpo_minus_a_line():
    """The other side of cDPO: −ε/(1 − 2ε)·M where cDPO has +ε·M."""
    batch = all_pairs(random_logps(4), random_logps(1))
    line = CFG.epsilon / (1 - 2 * CFG.epsilon) * CFG.beta * batch.margin()
    assert_close(rdpo.loss(batch, CFG), dpo.loss(batch, CFG) - line)


def test_epsilon_0_is_dpo():
    cfg, batch = (
        rdpo.Config(beta=0.4, epsilon=0.0),
        all_pairs(random_logps(4), random_logps(1)),
    )
    assert_close(rdpo.loss(batch, cfg), dpo.loss(batch, CFG))


def test_dpo_and_cdpo_do_not_rest_at_the_clean_optimum():
    assert slope_at_the_clean_optimum(dpo.loss) > 1
    cfg = cdpo.Config(beta=0.4, epsilon=0.2)
    assert slope_at_the_clean_optimum(cdpo.loss, cfg) > 1


def test_a_hard_pair_has_no_minimum():
    """At M = 100 and ε = 0.2 the loss is −0.2·100/0.6 = −33.3, and it still falls."""
    at = torch.tensor([100.0, 200.0], dtype=F64) / CFG.beta
    assert_close(rdpo.link(at, CFG).tolist(), [-100 / 3, -200 / 3])
    floor = CFG.beta * 0.2 / 0.6
    assert_close(rdpo.weight(at, CFG).tolist(), [floor, floor])
    grid = torch.linspace(-50, 50, 101, dtype=F64) / CFG.beta
    assert (rdpo.weight(grid, CFG) >= floor).all()
