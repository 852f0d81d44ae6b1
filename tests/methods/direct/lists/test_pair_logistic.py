"""All pairs of a list by hand, and π* under rankings of a Plackett–Luce law."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.listwise import (
    as_pairs,
    constant_gradient,
    off,
    pulls,
    shifted,
    single_tokens,
    with_logratios,
)
from tests.methods.rankings import population_gradient
from workbench.methods.direct.links import dpo
from workbench.methods.direct.lists import pair_logistic
from workbench.worlds.solutions import optimal_policy

CFG = pair_logistic.Config(beta=0.4)


def hand_list(scores=(0.3, 2.0, 1.1)):
    """e^s = (1, 2, 6) for responses of 2, 1 and 3 tokens; the second is the best."""
    return with_logratios([math.log(v) / 0.4 for v in (1, 2, 6)], scores)


def check_hand_number(loss):
    """Ratios e^{s_i − s_j} of 1/3, 2 and 6: log 4 + log 1.5 + log(7/6) = log 7."""
    assert_close(loss(hand_list(), CFG).tolist(), [math.log(7)])


def check_pulls(loss):
    """β times σ(s_j − s_i) = 3/4, 1/3, 1/7, up for the better, down for the other."""
    pull = torch.tensor([-1 / 3 - 1 / 7, 3 / 4 + 1 / 3, -3 / 4 + 1 / 7], dtype=F64)
    batch = hand_list()
    assert_close(pulls(loss, batch, CFG), 0.4 * pull[None, :, None] * batch.mask)


def check_equal_scores_make_no_pair(loss):
    """With scores (1, 1, 0) only the last is compared: log 7 + log 4."""
    value = loss(hand_list(scores=(1.0, 1.0, 0.0)), CFG)
    assert_close(value.tolist(), [math.log(7) + math.log(4)])
    assert loss(hand_list(scores=(1.0, 1.0, 1.0)), CFG).tolist() == [0.0]


def check_constants_get_no_gradient(loss):
    assert constant_gradient(loss, hand_list(), CFG) == 0


def check_optimal_policy_is_stationary(loss):
    """Ranks from a Plackett–Luce law of r, any weights of the lists: π*_β."""
    ref, reward = random_logps(1), random(2, TREE.n_responses)
    best = optimal_policy(ref, reward, CFG.beta)
    assert population_gradient(loss, CFG, best, ref, reward).abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_pulls,
    check_equal_scores_make_no_pair,
    check_constants_get_no_gradient,
    check_optimal_policy_is_stationary,
]


def test_another_policy_is_not_stationary():
    ref, reward = random_logps(1), random(2, TREE.n_responses)
    near = off(optimal_policy(ref, reward, CFG.beta))
    gradient = population_gradient(pair_logistic.loss, CFG, near, ref, reward)
    assert gradient.abs().max() > 1e-2


def test_a_list_of_two_is_dpo():
    d, scores = 3 * random(1, 9, 2), random(2, 9, 2)
    scores = scores.sort(-1, descending=True).values
    batch = single_tokens(d, scores)
    expected = dpo.loss(as_pairs(batch), dpo.Config(beta=0.4))
    assert_close(pair_logistic.loss(batch, CFG), expected)
    turned = replace(batch, scores=scores.flip(-1))
    expected = dpo.loss(as_pairs(batch, 1, 0), dpo.Config(beta=0.4))
    assert_close(pair_logistic.loss(turned, CFG), expected)


@pytest.mark.parametrize("k", [2, 4, 8])
def test_at_the_start_each_pair_costs_log_two(k):
    batch = single_tokens(torch.zeros(1, k, dtype=F64), random(1, 1, k))
    pairs = k * (k - 1) / 2
    assert_close(pair_logistic.loss(batch, CFG).tolist(), [pairs * math.log(2)])


def test_a_constant_added_to_all_log_ratios_changes_nothing():
    moved = pair_logistic.loss(shifted(hand_list(), 0.9), CFG)
    assert_close(moved, pair_logistic.loss(hand_list(), CFG))
