"""PRO by hand with unequal lengths; SimPO for pairs, Plackett–Luce at T = 1."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, random
from tests.methods.listwise import (
    as_pairs,
    constant_gradient,
    one_list,
    pulls,
    single_tokens,
)
from workbench.methods.direct.length import simpo
from workbench.methods.direct.lists import list_mle, pro

CFG = pro.Config(sft=0.05)
RANK = pro.Config(sft=0.0)
STATIC = pro.Config(sft=0.0, sharpness="one")
REF = [[-2.0, -1.0], [-3.0], [-1.0, -1.0, -4.0]]


def hand_list(scores=(1.0, 0.0, 3.0)):
    """Means p = (−2, −1, −3) over 2, 1 and 3 tokens; the third is the best.

    Gaps: 2 and 3 below the third, so T = 3 for itself; 1 below the first and for it.
    """
    return one_list([[-1.0, -3.0], [-1.0], [-2.0, -5.0, -2.0]], REF, scores)


def check_hand_number(loss):
    """log(e^−9 + e^−4 + e^−3) + 9 and log(e^−2 + e^−1) + 2; the NLL 0.05 · 2² · 9."""
    ranking = math.log(1 + math.e**5 + math.e**6) + math.log(1 + math.e)
    assert_close(loss(hand_list(), CFG).tolist(), [ranking + 1.8])


def check_hand_number_without_gaps(loss):
    """log(e^−3 + e^−2 + e^−1) + 3 and log(e^−2 + e^−1) + 2."""
    value = math.log(1 + math.e + math.e**2) + math.log(1 + math.e)
    assert_close(loss(hand_list(), STATIC).tolist(), [value])


def check_pulls(loss):
    """Gaps times 1 − P or −P, shared by a response's tokens; 0.2 per token from SFT."""
    third = torch.tensor([math.e**5, math.e**6, 1], dtype=F64)
    third = third / third.sum()
    one = math.e / (1 + math.e)
    pull = torch.stack(
        [(one - 2 * third[0]) / 2, -one - 3 * third[1], (3 - 3 * third[2]) / 3 + 0.2]
    )
    batch = hand_list()
    assert_close(pulls(loss, batch, CFG), pull[None, :, None] * batch.mask)


def check_equal_scores_are_not_compared(loss):
    """Scores (3, 0, 3): T = 3 in both pairs, p apart by −1 and −2.

    The NLL is that of the two best shared: 0.05 · 2² · (4 + 9)/2 = 1.3.
    """
    ranking = math.log(1 + math.e**3) + math.log(1 + math.e**6)
    assert_close(loss(hand_list((3.0, 0.0, 3.0)), CFG).tolist(), [ranking + 1.3])


def check_the_nll_of_a_pair_weighs_once(loss):
    """n = 2: 0.05 · 1² · 4 beside −log σ(0.5 · (−2 + 3)), the first one being best."""
    batch = one_list([[-1.0, -3.0], [-2.0, -5.0, -2.0]], [REF[0], REF[2]], (0.9, 0.4))
    assert_close(loss(batch, CFG).tolist(), [math.log1p(math.exp(-0.5)) + 0.2])


def check_constants_get_no_gradient(loss):
    assert constant_gradient(loss, hand_list(), CFG) == 0


CHECKS = [
    check_hand_number,
    check_hand_number_without_gaps,
    check_pulls,
    check_equal_scores_are_not_compared,
    check_the_nll_of_a_pair_weighs_once,
    check_constants_get_no_gradient,
]


@pytest.mark.parametrize("gap", [0.3, 2.0])
@pytest.mark.parametrize("best", [0, 1])
def test_the_ranking_of_two_is_simpo_with_the_gap_as_beta(gap, best):
    """γ = 0; the lengths differ, 2 and 3 tokens."""
    scores = (1.0 + gap * (best == 0), 1.0 + gap * (best == 1))
    batch = one_list([[-1.0, -3.0], [-2.0, -5.0, -2.0]], [REF[0], REF[2]], scores)
    expected = simpo.loss(
        as_pairs(batch, best, 1 - best), simpo.Config(beta=gap, gamma=0.0)
    )
    assert_close(pro.loss(batch, RANK), expected)


def test_without_gaps_it_is_plackett_luce_on_mean_log_probs():
    batch = hand_list()
    flat = single_tokens(batch.logps("mean"), batch.scores)
    expected = list_mle.loss(flat, list_mle.Config(beta=1.0))
    assert_close(pro.loss(batch, STATIC), expected)


def test_another_order_of_the_list_changes_nothing():
    batch, order = hand_list(), torch.tensor([2, 0, 1])
    names = ("policy", "ref", "mask", "scores", "proposal")
    moved = replace(batch, **{n: getattr(batch, n)[:, order] for n in names})
    assert_close(pro.loss(moved, CFG), pro.loss(batch, CFG))


def test_gaps_are_positive_below_and_largest_on_the_diagonal():
    batch = single_tokens(torch.zeros(4, 5, dtype=F64), random(1, 4, 5))
    gaps = pro.gaps(batch)
    assert (gaps.diagonal(dim1=-2, dim2=-1) >= 0).all()
    assert_close(gaps.diagonal(dim1=-2, dim2=-1), gaps.amax(-1))
    hand = torch.tensor([[1.0, 1, -2], [-1, 0, -3], [2, 3, 3]], dtype=F64)
    assert_close(pro.gaps(hand_list())[0], hand)


def test_the_nll_does_not_stop_the_fall_of_the_worse():
    """As the worse go to −∞ the ranking costs nothing and the NLL does not notice."""
    policy = [[-900.0, -900.0], [-3000.0], [-2.0, -5.0, -2.0]]
    batch = one_list(policy, REF, (1.0, 0.0, 3.0))
    assert_close(pro.loss(batch, CFG).tolist(), [1.8])


def test_the_reference_and_a_constant_added_to_the_scores_are_not_read():
    batch = hand_list()
    moved = replace(batch, ref=batch.ref - 0.7, scores=batch.scores + 5)
    assert_close(pro.loss(moved, CFG), pro.loss(batch, CFG))
