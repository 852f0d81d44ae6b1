"""DPOP by hand on both sides of its kink, and DPO on the right side of it."""

import math
from dataclasses import replace

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
from workbench.methods.direct.links import dpo, dpop
from workbench.worlds.solutions import optimal_policy

CFG = dpop.Config(beta=0.4, lam=3.0)
DPO = dpo.Config(beta=0.4)
N = TREE.n_responses


def fallen():
    """d_c = −0.5 + 0.25 = −0.25 over two tokens; d_r = −2 over one."""
    return pair([-1.5, -2.0], [-3.0], [-1.0, -2.25], [-1.0])


def risen():
    """d_c = 1.5, d_r = −1."""
    return pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])


def check_hand_numbers(loss):
    """Fallen: β (1.75 − 3 · 0.25) = 0.4. Risen: no penalty, β · 2.5 = 1."""
    assert_close(loss(fallen(), CFG).tolist(), [math.log1p(math.exp(-0.4))])
    assert_close(loss(risen(), CFG).tolist(), [math.log1p(math.exp(-1))])


def check_push_on_a_fallen_chosen_response_is_one_plus_lambda_times_as_hard(loss):
    """β σ(−0.4) times 4 up, times 1 down; the same on every token."""
    batch, error = fallen(), 0.4 / (1 + math.exp(0.4))
    up, down = pulls(loss, batch, CFG)
    assert_close(up, 4 * error * batch.chosen_mask.to(F64))
    assert_close(down, -error * batch.rejected_mask.to(F64))


def check_is_dpo_where_the_chosen_response_has_not_fallen(loss):
    """Value and gradient, d_c = 0 included: training starts as DPO does."""
    chosen = torch.tensor([0.0, 0.0, 0.3, 2.0], dtype=F64)
    rejected = torch.tensor([0.0, -1.0, 1.0, -4.0], dtype=F64)
    batch = single_tokens(chosen, rejected)
    assert_close(loss(batch, CFG), dpo.loss(batch, DPO))
    for mine, theirs in zip(
        pulls(loss, batch, CFG), pulls(dpo.loss, batch, DPO), strict=True
    ):
        assert_close(mine, theirs)


def check_is_dpo_of_a_stretched_log_ratio_where_it_has(loss):
    """d_c → (1 + λ) d_c = 4 d_c."""
    chosen = torch.tensor([-0.1, -1.0, -3.0], dtype=F64)
    rejected = torch.tensor([0.5, -6.0, 1.0], dtype=F64)
    want = dpo.loss(single_tokens(4 * chosen, rejected), DPO)
    assert_close(loss(single_tokens(chosen, rejected), CFG), want)


def check_reference_gets_no_gradient(loss):
    assert reference_gradients(loss, fallen(), CFG) == 0


CHECKS = [
    check_hand_numbers,
    check_push_on_a_fallen_chosen_response_is_one_plus_lambda_times_as_hard,
    check_is_dpo_where_the_chosen_response_has_not_fallen,
    check_is_dpo_of_a_stretched_log_ratio_where_it_has,
    check_reference_gets_no_gradient,
]


def test_without_a_penalty_it_is_dpo():
    batch = all_pairs(random_logps(4), random_logps(1))
    assert_close(dpop.loss(batch, replace(CFG, lam=0.0)), dpo.loss(batch, DPO))


def test_far_below_the_reference_the_loss_is_the_penalty():
    """−log σ(−z) → z = β ((1 + λ)|d_c| + d_r)."""
    batch = single_tokens(
        torch.tensor([-20.0], dtype=F64), torch.tensor([-1.0], dtype=F64)
    )
    assert_close(dpop.loss(batch, CFG).tolist(), [0.4 * (80 - 1)], atol=1e-9, rtol=0)


def test_a_fallen_chosen_response_can_still_have_no_loss():
    batch = single_tokens(
        torch.tensor([-2.0], dtype=F64), torch.tensor([-300.0], dtype=F64)
    )
    assert dpop.loss(batch, CFG).item() < 1e-40


def test_optimum_of_dpo_is_not_its_minimiser():
    """π* lowers responses that are chosen now and then; the penalty raises them."""
    ref, reward = random_logps(1), 2 * random(2, N)
    prefers = (reward[:, None] - reward).sigmoid()
    best = optimal_policy(ref, reward, CFG.beta)
    even = torch.ones_like(prefers)
    pull = -population_gradient(dpop.loss, CFG, best, ref, prefers, even)
    assert pull.abs().max() > 1
    assert pull[(best - ref).argmin()] > 0
    gradient = population_gradient(dpo.loss, DPO, best, ref, prefers, even)
    assert gradient.abs().max() < 1e-10
