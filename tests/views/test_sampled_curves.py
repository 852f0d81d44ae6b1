"""Estimates along training are drawn with their own intervals."""

import pandas as pd
import pytest

from workbench.views.layers import HLine, Line, Points
from workbench.views.sampled_curves import sampled_curves

FRAME = pd.DataFrame(
    {
        "step": [10, 0], "run": ["a", "a"], "kl": [2.0, 0.5], "kl_low": [1.5, 0.1],
        "kl_high": [2.5, 0.9], "length": [20.0, 30.0],
    }
)  # fmt: skip


def test_points_have_their_intervals_in_order_of_steps():
    figure = sampled_curves(FRAME, {"kl": "KL (nats)"}, caption="c")
    (chart,) = figure.panels.charts
    (points,) = [la for la in chart.layers if isinstance(la, Points)]
    assert (points.x, points.y) == ([0, 10], [0.5, 2.0])
    assert (points.low, points.high) == ([0.1, 1.5], [0.9, 2.5])
    assert "95 %" in chart.note and chart.y_label == "KL (nats)"


def test_a_column_without_an_interval_has_none():
    figure = sampled_curves(
        FRAME, {"length": "length (tokens)"}, caption="c", zero=True
    )
    (chart,) = figure.panels.charts
    (points,) = [la for la in chart.layers if isinstance(la, Points)]
    assert not points.low and not chart.note
    assert any(isinstance(la, HLine) for la in chart.layers)


def test_runs_are_told_apart():
    both = pd.concat([FRAME, FRAME.assign(run="b")])
    figure = sampled_curves(both, {"kl": "KL (nats)"}, by="run", caption="c")
    lines = [la for la in figure.panels.charts[0].layers if isinstance(la, Line)]
    assert [line.label for line in lines] == ["a", "b"]
    assert lines[0].style != lines[1].style


def test_a_missing_column_is_named():
    with pytest.raises(KeyError, match="gold"):
        sampled_curves(FRAME, {"gold": "gold"}, caption="c")
