"""Advantages by hand; the algebra stands beside each number."""

import math

import pytest
import torch

from workbench.core.advantages import (
    baseline,
    gae,
    group_relative,
    leave_one_out,
    whiten,
)

REWARDS = torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0], dtype=torch.float64)


def test_a_baseline_is_subtracted():
    assert baseline(REWARDS, 2.0).tolist() == [-1, 0, 4, -2, -2, 1]
    assert baseline(REWARDS, REWARDS).abs().max() == 0


def test_leave_one_out_subtracts_the_mean_of_the_others_in_the_group():
    # group 1: 1 − 4, 2 − 3.5, 6 − 1.5; group 2: 0 − 1.5, 0 − 1.5, 3 − 0
    hand = [-3, -1.5, 4.5, -1.5, -1.5, 3]
    assert leave_one_out(REWARDS, 3).tolist() == pytest.approx(hand)


def test_leave_one_out_is_k_over_k_minus_one_times_the_centred_reward():
    centred = group_relative(REWARDS, 3, scale=False)
    torch.testing.assert_close(leave_one_out(REWARDS, 3), centred * 3 / 2)


def test_a_group_of_one_or_a_broken_group_is_an_error():
    with pytest.raises(ValueError, match="two responses"):
        leave_one_out(REWARDS, 1)
    for call in (lambda: leave_one_out(REWARDS, 4), lambda: group_relative(REWARDS, 4)):
        with pytest.raises(ValueError, match="whole groups"):
            call()


def test_group_relative_divides_by_the_standard_deviation_of_its_own_group():
    # group 1: mean 3, deviations −2 −1 3, squares 14, n − 1 = 2: std √7
    found = group_relative(REWARDS, 3, eps=0.0)
    hand = [x / math.sqrt(7) for x in (-2, -1, 3)]
    assert found[:3].tolist() == pytest.approx(hand)
    population = group_relative(REWARDS, 3, correction=0, eps=0.0)
    hand = [x / math.sqrt(14 / 3) for x in (-2, -1, 3)]
    assert population[:3].tolist() == pytest.approx(hand)


def test_equal_rewards_in_a_group_give_zero_not_nan():
    assert group_relative(torch.ones(4), 4).tolist() == [0, 0, 0, 0]


# a prompt column, three tokens; the second row ends after two
MASK = torch.tensor([[0, 1, 1, 1], [0, 1, 1, 0]]).bool()
PAID = torch.tensor([[9.0, 1.0, 0.0, 4.0], [9.0, 0.0, 2.0, 9.0]])
VALUES = torch.tensor([[9.0, 2.0, 1.0, 3.0], [9.0, 1.0, 5.0, 9.0]])


def test_lambda_zero_is_the_one_step_error():
    # 1 + 1 − 2, 0 + 3 − 1, 4 + 0 − 3 ; 0 + 5 − 1, 2 + 0 − 5
    hand = [[0, 0, 2, 1], [0, 4, -3, 0]]
    assert gae(PAID, VALUES, MASK, lam=0.0).tolist() == hand


def test_lambda_one_is_the_return_minus_the_value():
    # returns 5 4 4 and 2 2
    hand = [[0, 3, 3, 1], [0, 1, -3, 0]]
    assert gae(PAID, VALUES, MASK, lam=1.0).tolist() == hand


def test_gae_by_hand_with_discount_and_lambda_one_half():
    # γ = ½: δ = 1 + ½ − 2 = −½, 0 + 1.5 − 1 = ½, 4 − 3 = 1; γλ = ¼
    # A3 = 1, A2 = ½ + ¼ = ¾, A1 = −½ + 3/16; row 2: δ = 1.5, −3
    hand = [[0, -0.5 + 0.1875, 0.75, 1], [0, 1.5 - 0.75, -3, 0]]
    assert gae(PAID, VALUES, MASK, gamma=0.5, lam=0.5).tolist() == hand


def test_what_stands_outside_the_mask_has_no_effect_on_gae():
    loud = [torch.where(MASK, x, 1e6) for x in (PAID, VALUES)]
    torch.testing.assert_close(gae(*loud, MASK), gae(PAID, VALUES, MASK))


def test_whitening_gives_mean_zero_and_variance_one_over_the_mask():
    # values 1 3 5 7: mean 4, population variance 5
    values = torch.tensor([[100.0, 1.0, 3.0], [5.0, 7.0, -100.0]]).double()
    mask = torch.tensor([[0, 1, 1], [1, 1, 0]]).bool()
    found = whiten(values, mask, eps=0.0)
    hand = [x / math.sqrt(5) for x in (-3, -1, 1, 3)]
    assert found[mask].tolist() == pytest.approx(hand)
    assert found[~mask].abs().max() == 0
    kept = whiten(values, mask, keep_mean=True, eps=0.0)
    assert kept[mask].tolist() == pytest.approx([x + 4 for x in hand])
    sample = whiten(values, mask, correction=1, eps=0.0)
    assert sample[mask].tolist() == pytest.approx([x * math.sqrt(0.75) for x in hand])
