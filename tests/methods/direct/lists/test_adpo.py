"""ADPO by hand, its fixed point and curvature, and the objectives that it contains."""

import math
from dataclasses import replace

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
from workbench.methods.direct.links import dpo
from workbench.methods.direct.lists import adpo
from workbench.worlds.solutions import kl, optimal_policy

CFG = adpo.Config(tau=2.5, beta_r=1.5)
N = TREE.n_responses
REF, REWARD = random_logps(1), 2 * random(2, N)
BEST = optimal_policy(REF, REWARD, CFG.beta_r / CFG.tau)


def hand_batch():
    """One list: q = (1, 3, 2)/6 and softmax(u) = (1, 2, 4)/7, for 1/τ = 0.4."""
    return hand_list(beta=0.4, alpha=1.5)


def check_hand_number(loss):
    """(log(7/6) + 3 log(7/4) + 2 log(7/12))/6."""
    want = (math.log(7 / 6) + 3 * math.log(7 / 4) + 2 * math.log(7 / 12)) / 6
    assert_close(loss(hand_batch(), CFG).tolist(), [want])


def check_push_is_the_difference_of_the_distributions_over_tau(loss):
    """(7 − 6, 21 − 12, 14 − 24)/42/2.5, the same on every token of a response."""
    batch = hand_batch()
    want = torch.tensor([1.0, 9, -10], dtype=F64)[None, :, None] / 105
    assert_close(pulls(loss, batch, CFG), want * batch.mask)


def check_anchor_and_scores_are_constants(loss):
    """No gradient reaches them."""
    assert constant_gradient(loss, hand_batch(), CFG) == 0


def check_zero_at_the_optimum_and_only_there(loss):
    """d = (τ/β_r)A + c: every list costs 0, moved lists cost more."""
    members = some_members(3)
    assert loss(lists_of(BEST, REF, REWARD, members), CFG).abs().max() < 1e-12
    assert loss(lists_of(off(BEST), REF, REWARD, members), CFG).min() > 1e-4


def check_a_list_of_equal_scores_asks_for_equal_log_ratios(loss):
    """q uniform: −log 3 − (log(1/7) + log(2/7) + log(4/7))/3, and no 0/0."""
    batch = replace(hand_batch(), scores=torch.full((1, 3), 0.4, dtype=F64))
    assert_close(loss(batch, CFG).tolist(), [math.log(7 / 6)])


CHECKS = [
    check_hand_number,
    check_push_is_the_difference_of_the_distributions_over_tau,
    check_anchor_and_scores_are_constants,
    check_zero_at_the_optimum_and_only_there,
    check_a_list_of_equal_scores_asks_for_equal_log_ratios,
]


def test_every_list_is_at_rest_at_the_optimum():
    members = some_members(3)
    found = logit_gradients(adpo.loss, CFG, BEST, REF, REWARD, members)
    assert found.abs().max() < 1e-12
    found = logit_gradients(adpo.loss, CFG, off(BEST), REF, REWARD, members)
    assert found.abs().amax(-1).min() > 1e-3


def test_hessian_at_the_optimum_is_the_softmax_fisher_over_tau_squared():
    """(diag(q) − qqᵀ)/τ² in the log-probs of a list, by double autograd."""
    scores = random(7, 1, 4)
    q = (scores[0] / CFG.beta_r).softmax(-1)

    def value(logratio):
        return adpo.loss(single_tokens(logratio[None], scores), CFG)[0]

    best = CFG.tau * q.log() + 0.3
    hessian = torch.autograd.functional.hessian(value, best)
    assert_close(hessian, (torch.diag(q) - torch.outer(q, q)) / CFG.tau**2)


def test_uniform_anchor_and_a_one_hot_target_are_the_likelihood():
    """Over all responses at τ = 1: −log π(y), the loss of SFT."""
    cfg, policy = adpo.Config(tau=1.0, beta_r=1.0), random_logps(4)
    scores = 1e4 * torch.eye(N, dtype=F64)
    batch = single_tokens(policy.expand(N, N), scores)  # one anchor for all
    assert_close(adpo.loss(batch, cfg), -policy)


def test_uniform_anchor_and_a_teachers_target_are_distillation():
    """Over all responses at τ = 1, with scores β_r log q: KL(teacher‖π)."""
    cfg, policy, teacher = (
        adpo.Config(tau=1.0, beta_r=1.5),
        random_logps(4),
        random_logps(5),
    )
    batch = single_tokens(policy[None], 1.5 * teacher[None])
    assert_close(adpo.loss(batch, cfg)[0], kl(teacher, policy))


def test_a_hard_pair_is_dpo():
    """β_r = 1e-3, scores 1 apart, τ = 1/β, anchor = reference."""
    rewards = torch.zeros(N, dtype=F64)
    batch = lists_of(random_logps(4), REF, rewards, some_members(5, group=2))
    batch.scores[:, 0] += 1
    found = adpo.loss(batch, adpo.Config(tau=2.5, beta_r=1e-3))
    assert_close(found, dpo.loss(as_pairs(batch), dpo.Config(beta=0.4)))


def test_anchor_and_scores_count_up_to_a_constant_of_the_list():
    batch = hand_batch()
    value = adpo.loss(batch, CFG)
    assert_close(adpo.loss(shifted(batch, 0.7), CFG), value)
    centred = replace(batch, scores=batch.scores - batch.scores.mean(-1, keepdim=True))
    assert_close(adpo.loss(centred, CFG), value)
