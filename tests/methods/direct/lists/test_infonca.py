"""InfoNCA by hand, its fixed point list by list, and the names it goes by."""

import math
from dataclasses import replace

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.listwise import (
    as_pairs,
    constant_gradient,
    every_pair_as_list,
    hand_list,
    lists_of,
    logit_gradients,
    off,
    pulls,
    shifted,
    some_members,
)
from workbench.feedback.kinds.lists import ListLogps
from workbench.methods.direct.links import dpo
from workbench.methods.direct.lists import adpo, brain, dpo_rw, infonca
from workbench.worlds.solutions import optimal_policy

CFG = infonca.Config(beta=0.4, alpha=1.5)
N = TREE.n_responses
REF, REWARD = random_logps(1), 2 * random(2, N)


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
    """π ∝ π_ref exp(r/(αβ)): the gradient of each list is 0 by itself."""
    best = optimal_policy(REF, REWARD, CFG.alpha * CFG.beta)
    found = logit_gradients(loss, CFG, best, REF, REWARD, some_members(3))
    assert found.abs().max() < 1e-12


def check_lists_do_not_mix(loss):
    """Two lists in a batch cost what each costs alone."""
    members = some_members(5, batch=2)
    both, first, second = (
        loss(lists_of(random_logps(4), REF, REWARD, rows), CFG)
        for rows in (members, members[:1], members[1:])
    )
    assert_close(both, torch.cat([first, second]))


CHECKS = [
    check_hand_number,
    check_push_is_beta_times_p_minus_q,
    check_reference_and_scores_are_constants,
    check_every_list_is_at_rest_at_the_optimum,
    check_lists_do_not_mix,
]


def test_another_policy_is_not_at_rest():
    best = off(optimal_policy(REF, REWARD, CFG.alpha * CFG.beta))
    found = logit_gradients(infonca.loss, CFG, best, REF, REWARD, some_members(3))
    assert found.abs().amax(-1).min() > 1e-3


def test_at_the_optimum_a_list_pays_the_entropy_of_its_target():
    best = optimal_policy(REF, REWARD, CFG.alpha * CFG.beta)
    members = some_members(3)
    log_p = (REWARD[members] / CFG.alpha).log_softmax(-1)
    found = infonca.loss(lists_of(best, REF, REWARD, members), CFG)
    assert_close(found, -(log_p.exp() * log_p).sum(-1))


def test_a_hard_pair_is_dpo():
    """α = 1e-3 and scores 1 apart: e^−1000 is 0 in float64."""
    members = every_pair_as_list()
    members = members[members[:, 0] != members[:, 1]]
    batch = lists_of(random_logps(4), REF, torch.arange(N, 0, -1).to(F64), members)
    first = members[:, 0] < members[:, 1]  # the better response
    pairs = [as_pairs(batch, 0, 1), as_pairs(batch, 1, 0)]
    want = [dpo.loss(pair, dpo.Config(beta=0.4)) for pair in pairs]
    found = infonca.loss(batch, infonca.Config(beta=0.4, alpha=1e-3))
    assert_close(found, torch.where(first, *want))


def test_the_same_loss_has_four_names():
    """dpo-rw is InfoNCA; ADPO lacks the entropy of the target; BRAIn has β = 1."""
    batch = lists_of(random_logps(4), REF, REWARD, some_members(6))
    value = infonca.loss(batch, CFG)
    forward = dpo_rw.loss(batch, dpo_rw.Config(beta_pi=0.4, beta_r=1.5))
    assert torch.equal(forward, value)

    log_p = (batch.scores / 1.5).log_softmax(-1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    anchored = adpo.loss(batch, adpo.Config(tau=1 / 0.4, beta_r=1.5))
    assert_close(anchored + entropy, value)

    plain = infonca.loss(batch, infonca.Config(beta=1.0, alpha=1.5))
    assert_close(brain.loss(batch, brain.Config(beta=1.5)), plain)


def test_a_constant_added_to_a_lists_log_ratios_or_scores_changes_nothing():
    batch = hand_batch()
    value = infonca.loss(batch, CFG)
    assert_close(infonca.loss(shifted(batch, 0.7), CFG), value)
    raised: ListLogps = replace(batch, scores=batch.scores + 3)
    assert_close(infonca.loss(raised, CFG), value)
