"""Rows of a table of measures, by hand."""

import math

import pytest
import torch

from workbench.measure import measured_rows


def test_a_mean_counts_clusters_and_only_what_is_asked_for():
    """Of 0, 1, 2, 3 in clusters 0, 0, 1, 1 and of the first two in one cluster."""
    values, clusters = torch.arange(4.0), torch.tensor([0, 0, 1, 1])
    none = torch.zeros(4, dtype=torch.bool)
    frame = measured_rows.table(
        [
            measured_rows.of_mean("all", values, clusters, "nats"),
            measured_rows.of_mean("first", values, clusters, "nats", clusters == 0),
            measured_rows.of_mean("none", values, clusters, "nats", none),
            measured_rows.of_number("a number", 7.0, 4),
        ]
    )
    assert frame.columns.tolist() == ["measure", "value", "low", "high", "n", "unit"]
    assert frame["n"].tolist() == [4, 2, 0, 4]
    assert frame["unit"].tolist() == ["nats", "nats", "nats", ""]
    assert frame["value"].tolist()[:2] == [1.5, 0.5] and frame["value"][3] == 7
    # sums about the mean are −2 and 2: √(8 · 2)/4 = 1, and t of one degree is 12.706
    assert frame["high"][0] == pytest.approx(1.5 + 12.706, abs=1e-3)
    assert frame["low"][0] == pytest.approx(1.5 - 12.706, abs=1e-3)
    assert math.isnan(frame["value"][2]) and frame["low"][1:].isna().all()
