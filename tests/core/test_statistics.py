"""Student intervals against printed tables."""

import math

import pytest
import torch

from workbench.core.seeds import generator
from workbench.core.statistics import cluster_interval, interval, student_t


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


def test_a_cluster_counts_once():
    """Two clusters of two equal values are two draws: s = 1, s/√2 = 0.7071.

    Sums about the mean 2 are −2 and 2: √(8 · 2/1)/4 = 1; of the means 1 and 3 the
    standard error is √2/√2 = 1 as well. Four independent values would have 0.577.
    """
    values = torch.tensor([1.0, 1.0, 3.0, 3.0])
    mean, stderr, low, high = cluster_interval(values, torch.tensor([7, 7, 2, 2]))
    assert (mean, stderr) == pytest.approx((2.0, 1.0))
    assert high - mean == pytest.approx(12.706, abs=1e-2) == mean - low


def test_clusters_of_one_are_independent_values():
    values = torch.tensor([0.5, 2.0, -1.0, 4.0, 3.5], dtype=torch.float64)
    mean, _, low, high = cluster_interval(values, torch.arange(5))
    assert (mean, low, high) == pytest.approx(interval(values))


def test_one_cluster_has_no_interval():
    mean, *rest = cluster_interval(torch.tensor([1.0, 2.0]), torch.tensor([3, 3]))
    assert mean == 1.5 and all(math.isnan(value) for value in rest)
