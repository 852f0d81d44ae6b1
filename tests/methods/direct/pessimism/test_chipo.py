"""χPO by hand, where it is cut, and its optimum for the mixed divergence."""

import math

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
from workbench.core.divergences import CHI2_KL
from workbench.methods.direct.links import f_dpo
from workbench.methods.direct.pessimism import chipo
from workbench.worlds.solutions import optimal_policy, optimal_policy_f

N = TREE.n_responses
LOG2, LOG3 = math.log(2), math.log(3)
WIDE = chipo.Config(beta=0.6, r_max=100.0)


def hand_batch():
    """u_c = 2 over two tokens, u_r = 1/3 over one."""
    return pair(
        [-1.0, -2.0], [-2.0 - LOG3], [-1.0 - 2 * LOG2, -2.0 + LOG2], [-2.0]
    )  # fmt: skip


def check_hand_number(loss):
    """φ(2) − φ(1/3) = 5/3 + log 6, β = 0.6: L = log(1 + e^−1 6^−0.6)."""
    want = math.log1p(6**-0.6 / math.e)
    assert_close(loss(hand_batch(), WIDE).tolist(), [want])


def check_push_is_weighted_by_one_plus_the_ratio(loss):
    """dφ/d log u = 1 + u: 3 and 4/3, times β σ(−M), alike on every token."""
    batch = hand_batch()
    up, down = pulls(loss, batch, WIDE)
    error = 0.6 / (1 + math.e * 6**0.6)
    assert_close(up, 3 * error * batch.chosen_mask.to(F64))
    assert_close(down, -4 / 3 * error * batch.rejected_mask.to(F64))


def check_no_reward_gap_beyond_twice_the_bound_counts(loss):
    """β = 2, R = 1: gaps of 2 (φ(u) − 1) are cut to ±2, and there the push is 0."""
    cfg = chipo.Config(beta=2.0, r_max=1.0)
    chosen = torch.tensor([-0.1, 0.2, 3.0, -3.0], dtype=F64)
    batch = single_tokens(chosen, torch.zeros(4, dtype=F64))
    gap = 2 * (chosen.exp() + chosen - 1)
    assert gap[0] > -2 < gap[1] < 2  # the first two are within the cut
    want = [math.log1p(math.exp(-g)) for g in (*gap[:2].tolist(), 2.0, -2.0)]
    assert_close(loss(batch, cfg).tolist(), want)
    up, _ = pulls(loss, batch, cfg)
    assert (up[:2] > 0.1).all()
    assert (up[2:] == 0).all()


def check_reference_gets_no_gradient(loss):
    assert reference_gradients(loss, hand_batch(), WIDE) == 0


def check_optimum_of_the_mixed_divergence_is_stationary(loss):
    """β(φ(u_i) − φ(u_j)) = r_i − r_j for all pairs, whatever their weights."""
    ref, reward = random_logps(1), 2 * random(2, N)
    weight = random(3, N, N).exp()
    prefers = (reward[:, None] - reward).sigmoid()
    best = optimal_policy_f(ref, reward, 0.6, CHI2_KL)
    gradient = population_gradient(loss, WIDE, best, ref, prefers, weight + weight.T)
    assert gradient.abs().max() < 1e-10


CHECKS = [
    check_hand_number,
    check_push_is_weighted_by_one_plus_the_ratio,
    check_no_reward_gap_beyond_twice_the_bound_counts,
    check_reference_gets_no_gradient,
    check_optimum_of_the_mixed_divergence_is_stationary,
]


@pytest.mark.parametrize("r_max", [100.0, math.inf])
def test_without_a_cut_it_is_f_dpo_of_the_mixed_divergence(r_max):
    batch = all_pairs(random_logps(4), random_logps(1))
    got = chipo.loss(batch, chipo.Config(beta=0.6, r_max=r_max))
    want = f_dpo.loss(batch, f_dpo.Config(beta=0.6, divergence=CHI2_KL))
    assert_close(got, want)
    cut = chipo.loss(batch, chipo.Config(beta=0.6, r_max=0.1))
    assert (cut - want).abs().max() > 0.1


def test_cut_at_the_largest_reward_leaves_the_optimum_where_it_is():
    """|r| ≤ R gives |r_i − r_j| ≤ 2R: at the optimum no pair is beyond the cut."""
    ref, reward = random_logps(1), 2 * random(2, N)
    prefers = (reward[:, None] - reward).sigmoid()
    cfg = chipo.Config(beta=0.6, r_max=reward.abs().max().item() + 1e-6)
    best = optimal_policy_f(ref, reward, 0.6, CHI2_KL)
    gradient = population_gradient(
        chipo.loss, cfg, best, ref, prefers, torch.ones_like(prefers)
    )
    assert gradient.abs().max() < 1e-10


@pytest.mark.parametrize("beta", [1.0, 0.1, 0.01])
def test_ratios_grow_linearly_in_reward_over_beta(beta):
    """u ≤ 1 + (max r − min r)/β; that of DPO is exponential in it."""
    reward = random(2, N)
    ref = (random(1, N) - 10 * (reward == reward.max())).log_softmax(-1)
    spread = (reward.max() - reward.min()).item()
    best = optimal_policy_f(ref, reward, beta, CHI2_KL)
    assert (best - ref).exp().max() <= 1 + spread / beta
    if beta < 1:
        steep = optimal_policy(ref, reward, beta)
        assert (steep - ref).exp().max() > 1 + spread / beta
