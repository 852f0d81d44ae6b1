"""SimPO by hand, its target margin, and its minimiser over 15 responses."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import logsigmoid
from torch.testing import assert_close

from tests.methods.enumerated import F64, random, random_logps, token_logps
from tests.methods.pairwise import (
    pair,
    population_gradient,
    pulls,
    summing_to_one,
)
from workbench.methods.direct.length import simpo
from workbench.methods.direct.links import cpo, dpo
from workbench.worlds.tree import PrefixTree

CFG = simpo.Config(beta=0.4, gamma=0.2)
PLAIN = simpo.Config(beta=0.4, gamma=0.0)
TREE = PrefixTree(n_words=2, depth=3)  # 15 responses of 1, 2 or 3 tokens
N = TREE.n_responses
LENGTHS = token_logps(TREE, random_logps(0, N))[1].sum(-1).to(F64)


def hand_batch():
    """Means −3/2 = −1.5 over two tokens and −4.5 over one: a gap of 3 per token."""
    return pair([-1.0, -2.0], [-4.5], ref_chosen=[-3.0, -1.0], ref_rejected=[-2.0])


def check_hand_number(loss):
    """β·gap − γ = 1.2 − 0.2 = 1, so L = log(1 + e^−1)."""
    assert_close(loss(hand_batch(), CFG).tolist(), [math.log1p(math.exp(-1))])


def check_a_tie_costs_more_than_log_two(loss):
    """Equal means: L = log(1 + e^γ), at γ = 0.2 and at γ = 0."""
    batch = pair([-1.0, -2.0], [-1.5], ref_chosen=[-3.0, -1.0], ref_rejected=[-2.0])
    assert_close(loss(batch, CFG).tolist(), [math.log1p(math.exp(0.2))])
    assert_close(loss(batch, PLAIN).tolist(), [math.log(2)])


def check_pulls_are_shared_by_the_tokens_of_each_response(loss):
    """0.4/(1 + e), halved on each of two chosen tokens, whole on the rejected one."""
    batch, error = hand_batch(), 0.4 / (1 + math.e)
    up, down = pulls(loss, batch, CFG)
    assert_close(up, error / 2 * batch.chosen_mask.to(F64))
    assert_close(down, -error * batch.rejected_mask.to(F64))


def check_the_reference_is_not_read(loss):
    """Another reference, the same loss."""
    batch = hand_batch()
    moved = replace(batch, ref_chosen=batch.ref_chosen - 0.7)
    assert_close(loss(moved, CFG), loss(batch, CFG))


def check_minimiser_over_three_lengths(loss):
    """γ = 0: π(y) = exp(|y|(r + c)/β), for any weights of the pairs."""
    reward = random(2, N)
    weight = random(3, N, N).exp()
    prefers = (reward[:, None] - reward).sigmoid()
    best = summing_to_one(lambda c: LENGTHS * (reward + c) / PLAIN.beta)
    gradient = population_gradient(
        loss, PLAIN, best, random_logps(1, N), prefers, weight + weight.T, TREE
    )
    assert gradient.abs().max() < 1e-10


def stretched(odds, gamma):
    """m with q = (1 + e^(m−γ))/(1 + e^(−m−γ)): a quadratic equation in e^m."""
    small = math.exp(-gamma)
    root = math.sqrt((odds - 1) ** 2 + 4 * small**2 * odds)
    return math.log((odds - 1 + root) / (2 * small))


def check_target_margin_stretches_a_soft_pair(loss):
    """At the m of the docstring q·dL/dm of the label equals that of its reverse."""
    odds, gamma = 3.0, 0.8
    margin = stretched(odds, gamma)
    assert margin > math.log(odds)
    one = pair([-1.0], [-1.0 - margin / 0.4], ref_chosen=[-1.0], ref_rejected=[-1.0])
    two = pair([-1.0 - margin / 0.4], [-1.0], ref_chosen=[-1.0], ref_rejected=[-1.0])
    cfg = simpo.Config(beta=0.4, gamma=gamma)
    (up, _), (_, down) = pulls(loss, one, cfg), pulls(loss, two, cfg)
    assert up.sum() > 0
    assert_close(odds * up, -down)


CHECKS = [
    check_hand_number,
    check_a_tie_costs_more_than_log_two,
    check_pulls_are_shared_by_the_tokens_of_each_response,
    check_the_reference_is_not_read,
    check_minimiser_over_three_lengths,
    check_target_margin_stretches_a_soft_pair,
]


def of_three_tokens(n=6):
    """Pairs of responses of three tokens each, under a reference and a flat one."""
    batch = [pair(*(-random(7 * k + i, 3).exp() for i in range(4))) for k in range(n)]
    flat = torch.full_like(batch[0].ref_chosen, -1.3)
    return [replace(one, ref_chosen=flat, ref_rejected=flat) for one in batch]


def test_at_equal_lengths_it_is_cpo_with_a_target_margin():
    """T = 3: SimPO(β, γ) is −log σ(z − γ) where CPO(β/T, α = 0) is −log σ(z)."""
    for batch in of_three_tokens():
        bare = cpo.loss(batch, cpo.Config(beta=0.4 / 3, alpha=0.0))
        z = -torch.expm1(bare).log()  # −log σ(z) = log(1 + e^−z)
        assert_close(simpo.loss(batch, CFG), -logsigmoid(z - CFG.gamma))


def test_at_equal_lengths_without_target_it_is_dpo_under_a_flat_reference():
    for batch in of_three_tokens():
        ours = simpo.loss(batch, PLAIN)
        assert_close(ours, dpo.loss(batch, dpo.Config(beta=0.4 / 3)))
        assert_close(ours, cpo.loss(batch, cpo.Config(beta=0.4 / 3, alpha=0.0)))


def test_over_one_length_the_minimiser_is_the_exponential_of_t_times_the_reward():
    """The responses of three tokens: log π differs by T(r_i − r_j)/β."""
    reward = random(2, N)
    best = summing_to_one(lambda c: LENGTHS * (reward + c) / PLAIN.beta)
    long = LENGTHS == LENGTHS.max()
    assert long.sum() > 2
    gap = best[long] - 3 * reward[long] / PLAIN.beta
    assert_close(gap, gap.mean().expand_as(gap))


def test_the_stretched_margin_without_target_is_the_log_odds():
    for odds in (0.2, 1.0, 7.0):
        assert stretched(odds, 0.0) == pytest.approx(math.log(odds))
        assert abs(stretched(odds, 1.5)) >= abs(math.log(odds))


def test_sums_and_means_order_a_pair_differently():
    """Two likely tokens lose to one unlikely token in sum, and win in mean."""
    batch = pair([-1.0, -1.0], [-1.5], ref_chosen=[-1.0, -1.0], ref_rejected=[-1.0])
    assert simpo.gap(batch) > 0 > cpo.gap(batch)
