"""Student intervals against printed tables."""

import math

import pytest
import torch

from workbench.core.seeds import generator
from workbench.core.statistics import interval, student_t


@pytest.mark.parametrize(
    ("df", "table"),
    [(1, 12.706), (4, 2.776), (9, 2.262), (30, 2.042), (31, 2.040), (40, 2.021),
     (60, 2.000), (120, 1.980), (1000, 1.962), (10**9, 1.960)],
)  # fmt: skip
def test_the_quantile_is_that_of_the_table(df, table):
    assert student_t(df) == pytest.approx(table, abs=6e-4)


def test_five_values_by_hand():
    # mean 3, standard deviation √2.5, half width 2.776 · √2.5 / √5
    mean, low, high = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.776445 * math.sqrt(2.5) / math.sqrt(5)
    assert (mean, low, high) == pytest.approx((3, 3 - half, 3 + half))


def test_equal_values_have_an_interval_of_no_width():
    assert interval(torch.full((5,), 2.0)) == (2, 2, 2)


def test_fewer_than_two_values_are_an_error():
    with pytest.raises(ValueError, match="two values"):
        interval([1.0])


@pytest.mark.parametrize("n", [5, 61])
def test_the_interval_covers_the_truth_about_95_times_in_100(n):
    draws = torch.randn(2000, n, generator=generator(0, n), dtype=torch.float64)
    covered = [low < 0 < high for _, low, high in map(interval, draws)]
    # binomial standard error √(0.95 · 0.05 / 2000) = 0.0049, four of them
    assert abs(sum(covered) / 2000 - 0.95) < 0.02
