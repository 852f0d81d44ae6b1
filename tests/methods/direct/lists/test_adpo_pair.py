"""ADPO on pairs by hand, pair by pair at rest, and what lists of two reduce it to."""

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
    some_members,
)
from workbench.methods.direct.links import dpo
from workbench.methods.direct.lists import adpo, adpo_pair
from workbench.methods.direct.noise import cdpo
from workbench.worlds.solutions import optimal_policy

CFG = adpo_pair.Config(tau=2.5, beta_r=1.5)
N = TREE.n_responses
REF, REWARD = random_logps(1), 2 * random(2, N)
BEST = optimal_policy(REF, REWARD, CFG.beta_r / CFG.tau)


def hand_batch():
    """e^{r/β_r} = (1, 3, 2) and e^{d/τ} = (1, 2, 4): labels 1/4, 1/3, 3/5."""
    return hand_list(beta=0.4, alpha=1.5)


def check_hand_number(loss):
    """The policy says 1/3, 1/5, 1/3 for the pairs (1, 2), (1, 3), (2, 3)."""
    want = math.log(3) / 4 + 3 / 4 * math.log(3 / 2)
    want += math.log(5) / 3 + 2 / 3 * math.log(5 / 4)
    want += 3 / 5 * math.log(3) + 2 / 5 * math.log(3 / 2)
    assert_close(loss(hand_batch(), CFG).tolist(), [want / 3])


def check_push_is_the_label_minus_the_policys_chance(loss):
    """1/4 − 1/3 = −5/60, 1/3 − 1/5 = 8/60, 3/5 − 1/3 = 16/60; over τ and 3 pairs."""
    batch = hand_batch()
    want = torch.tensor([-5.0 + 8, 5 + 16, -8 - 16], dtype=F64) / 60 / 2.5 / 3
    assert_close(pulls(loss, batch, CFG), want[None, :, None] * batch.mask)


def check_anchor_and_scores_are_constants(loss):
    """No gradient reaches them."""
    assert constant_gradient(loss, hand_batch(), CFG) == 0


def check_every_list_is_at_rest_at_the_optimum(loss):
    """D = (τ/β_r)Δr: the gradient of each list is 0 by itself."""
    found = logit_gradients(loss, CFG, BEST, REF, REWARD, some_members(3))
    assert found.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_push_is_the_label_minus_the_policys_chance,
    check_anchor_and_scores_are_constants,
    check_every_list_is_at_rest_at_the_optimum,
]


def test_another_policy_is_not_at_rest():
    members = some_members(3)
    found = logit_gradients(adpo_pair.loss, CFG, off(BEST), REF, REWARD, members)
    assert found.abs().amax(-1).min() > 1e-3


def two_each(gap):
    """Lists of two whose first response scores higher by a gap."""
    batch = lists_of(
        random_logps(4), REF, torch.zeros(N, dtype=F64), some_members(5, group=2)
    )
    batch.scores[:, 0] += gap
    return batch


def test_on_lists_of_two_it_is_adpo_and_the_entropy_of_the_label():
    batch, q = two_each(0.9), 1 / (1 + math.exp(-0.9 / 1.5))
    entropy = -q * math.log(q) - (1 - q) * math.log(1 - q)
    assert_close(adpo_pair.loss(batch, CFG), adpo.loss(batch, CFG) + entropy)


def test_on_lists_of_two_it_is_dpo_with_a_smoothed_label():
    batch, epsilon = two_each(0.9), 1 / (1 + math.exp(0.9 / 1.5))
    want = cdpo.loss(as_pairs(batch), cdpo.Config(beta=0.4, epsilon=epsilon))
    assert_close(adpo_pair.loss(batch, CFG), want)


def test_a_hard_pair_is_dpo():
    found = adpo_pair.loss(two_each(1.0), adpo_pair.Config(tau=2.5, beta_r=1e-3))
    assert_close(found, dpo.loss(as_pairs(two_each(1.0)), dpo.Config(beta=0.4)))


def test_a_list_costs_the_mean_of_its_pairs():
    members = some_members(6, group=4)
    whole = adpo_pair.loss(lists_of(random_logps(4), REF, REWARD, members), CFG)
    places = torch.combinations(torch.arange(4))
    parts = [
        adpo_pair.loss(lists_of(random_logps(4), REF, REWARD, members[:, pair]), CFG)
        for pair in places
    ]
    assert_close(whole, torch.stack(parts).mean(0))


def test_a_constant_added_to_a_lists_log_ratios_changes_nothing():
    value = adpo_pair.loss(hand_batch(), CFG)
    assert_close(adpo_pair.loss(shifted(hand_batch(), 0.7), CFG), value)
