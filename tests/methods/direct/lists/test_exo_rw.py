"""EXO on lists by hand, where it is zero, and what it is over all responses."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.listwise import (
    COUNTED,
    as_pairs,
    constant_gradient,
    hand_list,
    lists_of,
    logit_gradients,
    off,
    population,
    pulls,
    shifted,
    single_tokens,
    some_members,
)
from workbench.methods.direct.links import exo_pref
from workbench.methods.direct.lists import dpo_rw, exo_rw
from workbench.worlds.solutions import kl, optimal_policy

CFG = exo_rw.Config(beta_pi=0.4, beta_r=1.5)
N = TREE.n_responses
REF, REWARD = random_logps(1), 2 * random(2, N)
BEST = optimal_policy(REF, REWARD, CFG.beta_pi * CFG.beta_r)


def hand_batch():
    """One list: p = (1, 3, 2)/6 and q = (1, 2, 4)/7."""
    return hand_list(beta=0.4, alpha=1.5)


def check_hand_number(loss):
    """Σ q log(q/p) = (log(6/7) + 2 log(4/7) + 4 log(12/7))/7."""
    want = (math.log(6 / 7) + 2 * math.log(4 / 7) + 4 * math.log(12 / 7)) / 7
    assert_close(loss(hand_batch(), CFG).tolist(), [want])


def check_push_is_beta_q_times_the_excess_over_the_kl(loss):
    """dL/ds_k = q_k (log q_k/p_k − L), so the pushes of a list add up to 0."""
    batch = hand_batch()
    logs = torch.tensor([6 / 7, 4 / 7, 12 / 7], dtype=F64).log()
    q = torch.tensor([1.0, 2, 4], dtype=F64) / 7
    want = -0.4 * q * (logs - (q * logs).sum())
    assert_close(pulls(loss, batch, CFG), want[None, :, None] * batch.mask)


def check_reference_and_scores_are_constants(loss):
    """No gradient reaches them."""
    assert constant_gradient(loss, hand_batch(), CFG) == 0


def check_zero_at_the_optimum_and_only_there(loss):
    """d = r/(β_r β_π) + c: every list costs 0, moved lists cost more."""
    members = some_members(3)
    assert loss(lists_of(BEST, REF, REWARD, members), CFG).abs().max() < 1e-12
    assert loss(lists_of(off(BEST), REF, REWARD, members), CFG).min() > 1e-4


def check_over_all_responses_it_is_the_reverse_kl(loss):
    """log π_ref moved into the scores: q = π, p = π*, L = KL(π‖π*)."""
    cfg, policy = exo_rw.Config(beta_pi=1.0, beta_r=1.5), random_logps(4)
    scores = REWARD + 1.5 * REF
    batch = single_tokens(policy[None], scores[None], ref=0.0)
    assert_close(loss(batch, cfg)[0], kl(policy, optimal_policy(REF, REWARD, 1.5)))


CHECKS = [
    check_hand_number,
    check_push_is_beta_q_times_the_excess_over_the_kl,
    check_reference_and_scores_are_constants,
    check_zero_at_the_optimum_and_only_there,
    check_over_all_responses_it_is_the_reverse_kl,
]


def test_over_many_draws_of_the_reference_it_is_the_reverse_kl_of_a_geometric_mean():
    """KL(π_θ‖π*) with π_θ ∝ π^β_π π_ref^(1−β_π) and π* ∝ π_ref exp(r/β_r)."""
    policy = random_logps(4)
    mixed = (0.4 * policy + 0.6 * COUNTED).log_softmax(-1)
    want = kl(mixed, optimal_policy(COUNTED, REWARD, 1.5))
    batch = lists_of(policy, COUNTED, REWARD, population())
    assert_close(exo_rw.loss(batch, CFG)[0], want)


def test_every_list_is_at_rest_at_the_optimum():
    members = some_members(3)
    found = logit_gradients(exo_rw.loss, CFG, BEST, REF, REWARD, members)
    assert found.abs().max() < 1e-12
    found = logit_gradients(exo_rw.loss, CFG, off(BEST), REF, REWARD, members)
    assert found.abs().amax(-1).min() > 1e-3


def test_a_list_of_two_is_exo_on_pairs():
    """p = (1 − ε, ε) with ε = σ(−Δr/β_r) = σ(−0.9/1.5)."""
    members = some_members(5, group=2)
    rewards = torch.zeros(N, dtype=F64)
    batch = lists_of(random_logps(4), REF, rewards, members)
    batch.scores[:, 0] += 0.9
    cfg = exo_pref.Config(beta=0.4, epsilon=1 / (1 + math.exp(0.6)))
    assert_close(exo_rw.loss(batch, CFG), exo_pref.loss(as_pairs(batch), cfg))


def test_the_push_dies_out_on_a_badly_wrong_list_and_that_of_dpo_rw_does_not():
    """q = (e^−40, 1, e^−40) where p wants the first: e^−40 against 1 for the other."""
    wrong = torch.tensor([[-100.0, 0, -100]], dtype=F64)
    batch = single_tokens(wrong, torch.tensor([[30.0, 0, 0]], dtype=F64))
    assert pulls(exo_rw.loss, batch, CFG).abs().max() < 1e-14
    assert pulls(dpo_rw.loss, batch, CFG)[0, 0, 0] > 0.39


def test_a_constant_added_to_a_lists_log_ratios_changes_nothing():
    value = exo_rw.loss(hand_batch(), CFG)
    assert_close(exo_rw.loss(shifted(hand_batch(), 0.7), CFG), value)
