"""Plackett–Luce by hand, and its population minimiser over all ordered triples."""

import itertools
import math

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
from workbench.methods.direct.lists import list_mle
from workbench.worlds.solutions import optimal_policy

CFG = list_mle.Config(beta=0.4)


def hand_list(scores=(0.3, 2.0, 1.1)):
    """e^s = (1, 2, 6) for responses of 2, 1 and 3 tokens; the second is the best."""
    return with_logratios([math.log(v) / 0.4 for v in (1, 2, 6)], scores)


def check_hand_number(loss):
    """The second of all three, then the third of two: P = 2/9 · 6/7 = 4/21."""
    assert_close(loss(hand_list(), CFG).tolist(), [math.log(21 / 4)])


def check_pulls(loss):
    """β times 1 − P for what is picked, −P for what is left, over both picks."""
    first = torch.tensor([-1 / 9, 1 - 2 / 9, -6 / 9], dtype=F64)
    second = torch.tensor([-1 / 7, 0.0, 1 - 6 / 7], dtype=F64)
    batch = hand_list()
    pull = 0.4 * (first + second)
    assert_close(pulls(loss, batch, CFG), pull[None, :, None] * batch.mask)


def check_equal_scores_are_not_compared(loss):
    """With scores (1, 1, 0) each of the first two stands against the last: 1/7, 2/8."""
    value = loss(hand_list(scores=(1.0, 1.0, 0.0)), CFG)
    assert_close(value.tolist(), [math.log(7) + math.log(4)])


def check_constants_get_no_gradient(loss):
    assert constant_gradient(loss, hand_list(), CFG) == 0


def check_optimal_policy_is_stationary(loss):
    """Ranks from a Plackett–Luce law of r, any weights of the lists: βd = r + c."""
    ref, reward = random_logps(1), random(2, TREE.n_responses)
    best = optimal_policy(ref, reward, CFG.beta)
    assert population_gradient(loss, CFG, best, ref, reward).abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_pulls,
    check_equal_scores_are_not_compared,
    check_constants_get_no_gradient,
    check_optimal_policy_is_stationary,
]


def test_the_probabilities_of_all_rankings_sum_to_one():
    """24 rankings of four responses."""
    orders = torch.tensor(list(itertools.permutations(range(4))), dtype=F64)
    d = (3 * random(1, 4)).expand(24, 4)
    value = list_mle.loss(single_tokens(d, orders), CFG)
    assert_close((-value).exp().sum().item(), 1.0)


def test_a_list_of_two_is_dpo():
    d, scores = 3 * random(1, 9, 2), random(2, 9, 2)
    batch = single_tokens(d, scores.sort(-1, descending=True).values)
    expected = dpo.loss(as_pairs(batch), dpo.Config(beta=0.4))
    assert_close(list_mle.loss(batch, CFG), expected)


def test_another_policy_is_not_stationary():
    ref, reward = random_logps(1), random(2, TREE.n_responses)
    near = off(optimal_policy(ref, reward, CFG.beta))
    gradient = population_gradient(list_mle.loss, CFG, near, ref, reward)
    assert gradient.abs().max() > 1e-2


def test_the_worst_picked_first_is_the_same_only_for_two():
    wrong = next(f for name, f in list_mle.mistakes.items() if "worst" in name)
    two = single_tokens(3 * random(1, 5, 2), random(2, 5, 2))
    assert_close(wrong(two, CFG), list_mle.loss(two, CFG))
    assert abs(wrong(hand_list(), CFG) - list_mle.loss(hand_list(), CFG)) > 0.01


def test_the_size_of_the_scores_is_not_read():
    wide = list_mle.loss(hand_list(scores=(-50.0, 80.0, 1.1)), CFG)
    assert_close(wide, list_mle.loss(hand_list(), CFG))


def test_a_constant_added_to_all_log_ratios_changes_nothing():
    moved = list_mle.loss(shifted(hand_list(), 0.9), CFG)
    assert_close(moved, list_mle.loss(hand_list(), CFG))
