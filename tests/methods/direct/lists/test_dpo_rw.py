"""The forward form of EXO: by hand, its fixed point, and its twins."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.listwise import (
    as_pairs,
    constant_gradient,
    hand_list,
    lists_of,
    logit_gradients,
    off,
    pulls,
    shifted,
    single_tokens,
    some_members,
)
from workbench.methods.direct.lists import dpo_rw, exo_rw, infonca
from workbench.methods.direct.noise import cdpo
from workbench.worlds.solutions import kl, optimal_policy

CFG = dpo_rw.Config(beta_pi=0.4, beta_r=1.5)
N = TREE.n_responses
REF, REWARD = random_logps(1), 2 * random(2, N)
BEST = optimal_policy(REF, REWARD, CFG.beta_pi * CFG.beta_r)


def hand_batch():
    """One list: p = (1, 3, 2)/6 and q = (1, 2, 4)/7."""
    return hand_list(beta=0.4, alpha=1.5)


def check_hand_number(loss):
    """−Σ p log q = log(7)/6 + log(7/2)/2 + log(7/4)/3."""
    want = math.log(7) / 6 + math.log(7 / 2) / 2 + math.log(7 / 4) / 3
    assert_close(loss(hand_batch(), CFG).tolist(), [want])


def check_push_is_beta_times_p_minus_q(loss):
    """0.4·(7 − 6, 21 − 12, 14 − 24)/42, the same on every token of a response."""
    batch = hand_batch()
    want = 0.4 * torch.tensor([1.0, 9, -10], dtype=F64)[None, :, None] / 42
    assert_close(pulls(loss, batch, CFG), want * batch.mask)


def check_reference_and_scores_are_constants(loss):
    """No gradient reaches them."""
    assert constant_gradient(loss, hand_batch(), CFG) == 0


def check_every_list_is_at_rest_at_the_optimum(loss):
    """π ∝ π_ref exp(r/(β_r β_π)): the gradient of each list is 0 by itself."""
    found = logit_gradients(loss, CFG, BEST, REF, REWARD, some_members(3))
    assert found.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_push_is_beta_times_p_minus_q,
    check_reference_and_scores_are_constants,
    check_every_list_is_at_rest_at_the_optimum,
]


def test_another_policy_is_not_at_rest():
    found = logit_gradients(dpo_rw.loss, CFG, off(BEST), REF, REWARD, some_members(3))
    assert found.abs().amax(-1).min() > 1e-3


def test_it_is_infonca():
    batch = lists_of(random_logps(4), REF, REWARD, some_members(5))
    twin = infonca.Config(beta=0.4, alpha=1.5)
    assert torch.equal(dpo_rw.loss(batch, CFG), infonca.loss(batch, twin))


def test_over_all_responses_it_is_the_forward_kl_and_a_constant():
    """log π_ref moved into the scores: q = π, p = π*, L = KL(π*‖π) + H(π*)."""
    cfg, policy = dpo_rw.Config(beta_pi=1.0, beta_r=1.5), random_logps(4)
    batch = single_tokens(policy[None], (REWARD + 1.5 * REF)[None], ref=0.0)
    best = optimal_policy(REF, REWARD, 1.5)
    want = kl(best, policy) - (best.exp() * best).sum()
    assert_close(dpo_rw.loss(batch, cfg)[0], want)
    assert exo_rw.loss(batch, cfg)[0] != kl(best, policy)


def test_a_list_of_two_is_dpo_with_a_smoothed_label():
    """p = (1 − ε, ε) with ε = σ(−Δr/β_r) = σ(−0.9/1.5): cDPO."""
    batch = lists_of(
        random_logps(4), REF, torch.zeros(N, dtype=F64), some_members(5, group=2)
    )
    batch.scores[:, 0] += 0.9
    cfg = cdpo.Config(beta=0.4, epsilon=1 / (1 + math.exp(0.6)))
    assert_close(dpo_rw.loss(batch, CFG), cdpo.loss(as_pairs(batch), cfg))


def test_a_constant_added_to_a_lists_log_ratios_changes_nothing():
    value = dpo_rw.loss(hand_batch(), CFG)
    assert_close(dpo_rw.loss(shifted(hand_batch(), 0.7), CFG), value)
