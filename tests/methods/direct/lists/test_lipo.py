"""LiPO-λ by hand: what a swap is worth under the present ranks, and its fixed point."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, random
from tests.methods.listwise import (
    as_pairs,
    constant_gradient,
    pulls,
    shifted,
    single_tokens,
    with_logratios,
)
from workbench.methods.direct.links import dpo
from workbench.methods.direct.lists import lipo

CFG = lipo.Config(beta=0.4, labels="scores")
WINS = lipo.Config(beta=0.4)
# 1/log 2, 1/log 3, 1/log 4: what a place is worth
FIRST, SECOND, THIRD = (1 / math.log(1 + rank) for rank in (1, 2, 3))
PSI = (0.0, 1.0, math.log2(1.5))  # gains 2^ψ − 1 of 0, 1 and 1/2


def hand_list():
    """e^s = (1, 2, 6), so ranks are (3, 2, 1); by its label the second is the best."""
    return with_logratios([math.log(v) / 0.4 for v in (1, 2, 6)], PSI)


# Δ of (second, third), (second, first), (third, first)
GAINS = (0.5 * (FIRST - SECOND), 1.0 * (SECOND - THIRD), 0.5 * (FIRST - THIRD))


def check_hand_number(loss):
    """Σ Δ log(1 + e^{s_j − s_i}) with the logarithms log 4, log 1.5 and log(7/6)."""
    hand = sum(g * math.log(v) for g, v in zip(GAINS, (4, 1.5, 7 / 6), strict=True))
    assert_close(loss(hand_list(), CFG).tolist(), [hand])


def check_pulls(loss):
    """βΔσ(s_j − s_i) with σ = 3/4, 1/3, 1/7; Δ adds nothing of its own."""
    a, b, c = (g * v for g, v in zip(GAINS, (3 / 4, 1 / 3, 1 / 7), strict=True))
    pull = 0.4 * torch.tensor([-b - c, a + b, c - a], dtype=F64)
    batch = hand_list()
    assert_close(pulls(loss, batch, CFG), pull[None, :, None] * batch.mask)


def check_constants_get_no_gradient(loss):
    """Scores, the reference and the labels made of scores."""
    assert constant_gradient(loss, hand_list(), CFG) == 0
    assert constant_gradient(loss, hand_list(), WINS) == 0


def check_two_responses_are_dpo_times_a_number(loss):
    """ψ = 0.9 and 0.3: Δ = (2^0.9 − 2^0.3)(1/log 2 − 1/log 3) = 0.33807, for any s."""
    d = 3 * random(1, 6, 2)
    batch = single_tokens(d, torch.tensor([[0.9, 0.3]], dtype=F64).expand(6, 2))
    ratio = loss(batch, CFG) / dpo.loss(as_pairs(batch), dpo.Config(beta=0.4))
    assert_close(ratio, torch.full_like(ratio, 0.33807), atol=5e-6, rtol=0)


def check_labels_are_win_rates_unless_told(loss):
    """Scores log 3 apart win 3/4 and 1/4 of the time: Δ from 2^¾ − 2^¼."""
    d = 3 * random(1, 6, 2)
    batch = single_tokens(d, torch.tensor([[5 + math.log(3), 5]]).to(F64).expand(6, 2))
    ratio = loss(batch, WINS) / dpo.loss(as_pairs(batch), dpo.Config(beta=0.4))
    hand = (2**0.75 - 2**0.25) * (FIRST - SECOND)
    assert_close(ratio, torch.full_like(ratio, hand))


def check_it_starts(loss):
    """At π = π_ref all s tie; ranks are the places, and L = log 2 · ΣΔ, not 0."""
    batch = with_logratios([0.0, 0.0, 0.0], PSI)
    worth = 0.5 * (SECOND - THIRD) + (FIRST - SECOND) + 0.5 * (FIRST - THIRD)
    assert_close(loss(batch, CFG).tolist(), [worth * math.log(2)])
    assert pulls(loss, batch, CFG)[0, 1, 1] > 0.05


CHECKS = [
    check_hand_number,
    check_pulls,
    check_constants_get_no_gradient,
    check_two_responses_are_dpo_times_a_number,
    check_labels_are_win_rates_unless_told,
    check_it_starts,
]


def test_ranks_begin_at_one_and_ties_go_by_place():
    values = torch.tensor([[0.3, 2.0, 0.3, -1.0]], dtype=F64)
    assert lipo.ranks(values).tolist() == [[2, 1, 3, 4]]


def test_gain_is_the_change_of_dcg_when_two_responses_swap_ranks():
    """DCG = Σ (2^ψ − 1)/log(1 + τ), computed before and after each swap."""
    psi = torch.rand(1, 5, generator=torch.Generator().manual_seed(1), dtype=F64)
    rank = lipo.ranks(random(2, 1, 5))
    gain = lipo.swap_gain(psi, rank)[0]

    def dcg(places):
        return sum(
            (2**p - 1) / math.log(1 + t)
            for p, t in zip(psi[0].tolist(), places, strict=True)
        )

    before = rank[0].tolist()
    for i in range(5):
        for j in range(5):
            after = list(before)
            after[i], after[j] = before[j], before[i]
            assert gain[i, j].item() == pytest.approx(abs(dcg(after) - dcg(before)))


def test_a_shared_rank_would_give_every_pair_no_weight_at_the_start():
    shared = torch.ones(1, 3, dtype=F64)
    gain = lipo.swap_gain(torch.tensor([PSI], dtype=F64), shared)
    assert gain.abs().max() == 0


def test_fixed_point_of_a_pair_with_noisy_labels():
    """i wins 4 times with ψ (0.9, 0.3), j wins 3 times with (0.2, 0.5)."""
    win, lose = 4 * (2**0.9 - 2**0.3), 3 * (2**0.5 - 2**0.2)
    d = torch.tensor([math.log(win / lose) / 0.4, 0.0], dtype=F64)
    scores = torch.tensor([[0.9, 0.3]] * 4 + [[0.2, 0.5]] * 3, dtype=F64)
    for shift, still in ((0.0, True), (0.1, False)):
        moved = (d + torch.tensor([shift, 0.0])).requires_grad_()
        total = lipo.loss(single_tokens(moved.expand(7, 2), scores), CFG).sum()
        (gradient,) = torch.autograd.grad(total, moved)
        assert (gradient.abs().max() < 1e-12) == still


def test_with_fixed_labels_the_best_always_rises_and_the_worst_always_falls():
    scores = torch.tensor([[0.1, 0.9, 0.6, 0.3]], dtype=F64).expand(50, 4)
    d = (30 * random(4, 50, 4)).requires_grad_()
    total = lipo.loss(single_tokens(d, scores), CFG).sum()
    (gradient,) = torch.autograd.grad(total, d)
    assert (gradient[:, 1] < 0).all() and (gradient[:, 0] > 0).all()


def test_another_order_of_the_list_changes_nothing():
    batch, order = hand_list(), torch.tensor([2, 0, 1])
    names = ("policy", "ref", "mask", "scores", "proposal")
    moved = replace(batch, **{n: getattr(batch, n)[:, order] for n in names})
    for cfg in (CFG, WINS):
        assert_close(lipo.loss(moved, cfg), lipo.loss(batch, cfg))


def test_a_constant_added_to_all_log_ratios_changes_nothing():
    moved = lipo.loss(shifted(hand_list(), 0.9), CFG)
    assert_close(moved, lipo.loss(hand_list(), CFG))
