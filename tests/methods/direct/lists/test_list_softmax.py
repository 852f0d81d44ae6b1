"""Cross-entropy to labels over their sum: by hand, and the policy it is least at."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.listwise import (
    as_pairs,
    constant_gradient,
    logit_gradients,
    off,
    pulls,
    shifted,
    single_tokens,
    some_members,
    with_logratios,
)
from workbench.methods.direct.links import dpo
from workbench.methods.direct.lists import list_softmax

CFG = list_softmax.Config(beta=0.4, labels="scores")
WINS = list_softmax.Config(beta=0.4)


def hand_list(scores=(1.0, 3.0, 2.0)):
    """e^s = (1, 2, 4), so softmax(s) = (1, 2, 4)/7; ψ/Σψ = (1, 3, 2)/6."""
    return with_logratios([math.log(v) / 0.4 for v in (1, 2, 4)], scores)


def check_hand_number(loss):
    """log 7 − (3/6) log 2 − (2/6) log 4 = log 7 − (7/6) log 2."""
    value = math.log(7) - 7 / 6 * math.log(2)
    assert_close(loss(hand_list(), CFG).tolist(), [value])


def check_pulls(loss):
    """β(ψ/Σψ − softmax(s)) = β(1/42, 3/14, −5/21): they sum to 0."""
    pull = 0.4 * torch.tensor([1 / 42, 3 / 14, -5 / 21], dtype=F64)
    batch = hand_list()
    assert_close(pulls(loss, batch, CFG), pull[None, :, None] * batch.mask)


def check_labels_are_win_rates_unless_told(loss):
    """Scores log 3 apart win 3/4 and 1/4, which sum to 1; at s = 0 pulls are ±β/4."""
    scores = torch.tensor([[2.0, 2 + math.log(3)]], dtype=F64)
    batch = single_tokens(torch.zeros(1, 2, dtype=F64), scores)
    assert_close(loss(batch, WINS).tolist(), [math.log(2)])
    assert_close(pulls(loss, batch, WINS).flatten().tolist(), [-0.1, 0.1])


def check_constants_get_no_gradient(loss):
    assert constant_gradient(loss, hand_list(), CFG) == 0
    assert constant_gradient(loss, hand_list(), WINS) == 0


def check_minimiser_is_the_reference_times_a_power_of_the_labels(loss):
    """π ∝ π_ref ψ^{1/β}: the gradient of every single list is 0."""
    ref, psi = random_logps(1), random(2, TREE.n_responses).exp()
    best = (ref + psi.log() / CFG.beta).log_softmax(-1)
    members = some_members(3)
    found = logit_gradients(loss, CFG, best, ref, psi, members)
    assert found.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_pulls,
    check_labels_are_win_rates_unless_told,
    check_constants_get_no_gradient,
    check_minimiser_is_the_reference_times_a_power_of_the_labels,
]


def test_another_policy_is_not_stationary():
    ref, psi = random_logps(1), random(2, TREE.n_responses).exp()
    near = off((ref + psi.log() / CFG.beta).log_softmax(-1))
    args = (near, ref, psi, some_members(3))
    assert logit_gradients(list_softmax.loss, CFG, *args).abs().max() > 1e-2


def test_a_list_of_two_with_all_label_on_one_is_dpo():
    d = 3 * random(1, 9, 2)
    batch = single_tokens(d, torch.tensor([[0.7, 0.0]], dtype=F64).expand(9, 2))
    expected = dpo.loss(as_pairs(batch), dpo.Config(beta=0.4))
    assert_close(list_softmax.loss(batch, CFG), expected)


def test_labels_may_be_scaled_but_not_moved():
    base = list_softmax.loss(hand_list(), CFG)
    assert_close(list_softmax.loss(hand_list((5.0, 15.0, 10.0)), CFG), base)
    assert abs(list_softmax.loss(hand_list((2.0, 4.0, 3.0)), CFG) - base) > 0.01


@pytest.mark.parametrize("k", [2, 4, 8])
def test_a_share_of_win_rates_is_at_most_two_over_k(k):
    """Win rates sum to K/2 and none is above 1, however far the best is ahead."""
    scores = torch.zeros(1, k, dtype=F64)
    scores[0, 1] = 500.0
    batch = single_tokens(scores * 0, scores)
    shares = list_softmax.shares(batch, WINS)
    assert_close(batch.win_rates.sum().item(), k / 2)
    assert_close(shares.max().item(), 2 / k)


def test_a_constant_added_to_all_log_ratios_changes_nothing():
    moved = list_softmax.loss(shifted(hand_list(), 0.9), CFG)
    assert_close(moved, list_softmax.loss(hand_list(), CFG))
