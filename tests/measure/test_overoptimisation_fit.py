"""The laws of Gao et al., fitted to curves that obey them."""

import math

import pytest
import torch

from workbench.core.seeds import generator
from workbench.measure.overoptimisation_fit import fit

D = torch.linspace(0.2, 4, 25, dtype=torch.float64)


def curve(law, alpha, beta, d=D):
    return d * (alpha - beta * (d if law == "bon" else d.log()))


@pytest.mark.parametrize("law", ["bon", "rl"])
def test_known_parameters_are_recovered(law):
    found = fit(D, 7.0 + curve(law, 1.5, 0.4), law, start=7.0)
    assert (found.alpha, found.beta) == pytest.approx((1.5, 0.4))
    assert found.r2 == pytest.approx(1.0)
    torch.testing.assert_close(found(D), curve(law, 1.5, 0.4))


def test_least_squares_by_hand_on_three_points():
    # columns (d, −d²) = (1 −1), (2 −4), (3 −9); R = 1 1 0.
    # XᵀX = [14 −36; −36 98], XᵀR = (3, −5), det 76: α = 114/76, β = 38/76
    found = fit([1.0, 2.0, 3.0], [1.0, 1.0, 0.0])
    assert (found.alpha, found.beta) == pytest.approx((114 / 76, 38 / 76))
    # residuals 0, 0, 0: 1 − 1, 1 − 1, 0 − 0
    assert found.r2 == pytest.approx(1)
    assert found.peak == pytest.approx((1.5, 1.125))


def test_the_reference_point_at_zero_may_be_among_the_data():
    for law in ("bon", "rl"):
        d = torch.cat([torch.zeros(1).double(), D])
        gold = torch.cat([torch.zeros(1).double(), curve(law, 1.5, 0.4)])
        assert fit(d, gold, law).alpha == pytest.approx(1.5)


@pytest.mark.parametrize(("law", "at"), [("bon", 1.5 / 0.8), ("rl", math.exp(0.875))])
def test_the_peak_is_where_the_law_is_highest(law, at):
    beta = 0.4 if law == "bon" else 0.8
    found = fit(D, curve(law, 1.5, beta), law)
    assert found.peak[0] == pytest.approx(at) and found.hump
    near = found([at - 0.01, at, at + 0.01])
    assert near[1] > near[0] and near[1] > near[2]
    assert near[1].item() == pytest.approx(found.peak[1])


def test_a_curve_that_only_rises_has_no_peak():
    assert fit(D, curve("bon", 1.0, -0.1)).peak is None
    assert not fit(D, curve("bon", 1.0, -0.1)).hump


def test_a_peak_beyond_the_data_is_no_hump():
    found = fit(D, curve("bon", 3.0, 0.1))
    assert found.peak[0] == pytest.approx(15) and not found.hump


@pytest.mark.parametrize("law", ["bon", "rl"])
@pytest.mark.parametrize("points", [4, 25])
def test_intervals_cover_the_parameters_about_95_times_in_100(law, points):
    d = torch.linspace(0.5, 3, points, dtype=torch.float64)
    covered = torch.zeros(2)
    for trial in range(400):
        noise = torch.randn(points, generator=generator(trial, law)).double()
        found = fit(d, curve(law, 1.5, 0.4, d) + 0.3 * noise, law)
        for i, (name, truth) in enumerate([("alpha", 1.5), ("beta", 0.4)]):
            low, high = found.intervals[name]
            covered[i] += low < truth < high
    # binomial standard error √(0.95 · 0.05 / 400) = 0.011, three of them
    assert ((covered / 400 - 0.95).abs() < 0.033).all()


def test_too_few_points_or_an_unknown_law_is_an_error():
    with pytest.raises(ValueError, match="three different"):
        fit([0.0, 1.0, 1.0, 2.0], [0.0, 1.0, 1.0, 1.0])
