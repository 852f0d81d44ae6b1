"""Calibration, with both orders of every pair."""

import math

import pytest
import torch

from workbench.core.seeds import generator
from workbench.measure import calibration

P = torch.tensor([0.9, 0.8, 0.8, 0.3], dtype=torch.float64)
Y = torch.tensor([1, 1, 0, 0])


def test_reliability_by_hand_in_two_bins():
    # upper bin: 0.9 (1), 0.8 (1), 0.8 (0) and the mirror 0.7 (1) of the last pair
    table = calibration.reliability(P, Y, bins=2)
    assert table.predicted.tolist() == pytest.approx([0.2, 0.8])
    assert table.observed.tolist() == pytest.approx([0.25, 0.75])
    assert table.share.tolist() == [0.5, 0.5]
    assert calibration.ece(P, Y, bins=2) == pytest.approx(0.05)


def test_the_order_within_pairs_does_not_matter():
    swapped = torch.tensor([True, False, True, True])
    p, y = torch.where(swapped, 1 - P, P), torch.where(swapped, 1 - Y, Y)
    assert calibration.ece(p, y) == pytest.approx(calibration.ece(P, Y))
    assert calibration.brier(p, y) == pytest.approx(calibration.brier(P, Y))


@pytest.mark.parametrize("bins", [2, 5, 10])
def test_the_curve_is_antisymmetric_about_one_half(bins):
    p = torch.rand(500, generator=generator(0), dtype=torch.float64)
    p[:9] = torch.arange(1, 10) / 10  # on the edges, where rounding decides
    y = torch.rand(500, generator=generator(1), dtype=torch.float64) < p
    table = calibration.reliability(p[p != 0.5], y[p != 0.5], bins=bins)
    for column in ("predicted", "observed"):
        mirrored = 1 - table[column].to_numpy()[::-1]
        assert table[column].tolist() == pytest.approx(mirrored.tolist())


def test_always_chosen_first_is_not_mistaken_for_calibrated():
    # a score that knows nothing and says ½: both orders make the frequency ½
    half = torch.full((100,), 0.5, dtype=torch.float64)
    table = calibration.reliability(half, torch.ones(100))
    assert table.observed.tolist() == pytest.approx([0.5])
    assert calibration.ece(half, half * 2) < 1e-12
    # one that always says 0.9 and is right 60 times in 100
    sure = torch.where(torch.arange(100) < 60, 0.9, 0.1).double()
    assert calibration.ece(sure, torch.ones(100)) == pytest.approx(0.3)


def test_murphys_parts_add_up():
    parts = calibration.brier(P, Y)
    # (0.01 + 0.04 + 0.64 + 0.09)/4
    assert parts["score"] == pytest.approx(0.195)
    assert parts["uncertainty"] == pytest.approx(0.25)
    # groups: 0.9 → 1, 0.8 → ½, 0.7 → 1 and mirrors: (0.01 + 2·0.09 + 0.09)/4
    assert parts["reliability"] == pytest.approx(0.07)
    assert parts["resolution"] == pytest.approx((0.25 + 0 + 0.25) / 4)
    whole = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    assert parts["score"] == pytest.approx(whole)


def test_soft_labels_are_the_expectation_over_hard_ones():
    truth = torch.tensor([0.6, 0.9, 0.2, 0.5], dtype=torch.float64)
    soft = calibration.brier(P, truth)
    labels = torch.cartesian_prod(*[torch.tensor([0, 1])] * 4)
    chance = torch.where(labels == 1, truth, 1 - truth).prod(-1)
    scores = [calibration.brier(P, y)["score"] for y in labels]
    mean = (chance * torch.tensor(scores).double()).sum()
    assert soft["score"] == pytest.approx(mean.item())
    parts = soft["reliability"] - soft["resolution"] + soft["uncertainty"]
    assert soft["score"] == pytest.approx(parts)


def test_the_true_probability_is_calibrated_and_a_sharper_one_is_not():
    margins = torch.randn(2000, generator=generator(2), dtype=torch.float64)
    truth = margins.sigmoid()
    assert calibration.ece(truth, truth) < 1e-12
    assert calibration.ece((3 * margins).sigmoid(), truth) > 0.1


def test_weights_count_like_repeated_pairs():
    weight = torch.tensor([1.0, 2.0, 1.0, 3.0], dtype=torch.float64)
    rows = torch.tensor([0, 1, 1, 2, 3, 3, 3])
    for score in (calibration.ece, calibration.temperature):
        first = torch.logit(P) if score is calibration.temperature else P
        found = score(first, Y, weight=weight)
        assert found == pytest.approx(score(first[rows], Y[rows]))


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_scale(scale):
    margins = torch.randn(500, generator=generator(3), dtype=torch.float64)
    found = calibration.temperature(scale * margins, margins.sigmoid())
    assert found == pytest.approx(scale, rel=1e-9)


def test_the_temperature_by_hand_and_at_its_ends():
    # right three times in four with margins ±1: σ(1/T) = ¾, so T = 1/log 3
    margins, right = torch.ones(4).double(), torch.tensor([1, 1, 1, 0])
    assert calibration.temperature(margins, right) == pytest.approx(1 / math.log(3))
    assert calibration.temperature(margins, torch.ones(4)) == 0
    assert calibration.temperature(margins, torch.zeros(4)) == math.inf
