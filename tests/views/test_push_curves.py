"""Pushes on single responses: a dot where a push turns, and none where it does not."""

import pandas as pd

from workbench import views
from workbench.views.layers import HLine, Line, Points


def _frame(method: str, push: list[float]) -> pd.DataFrame:
    x = [-1.0, 0.0, 1.0]
    return pd.DataFrame(
        {"method": method, "share": 0.6, "logratio": x, "push": push},
    )


def test_a_dot_stands_where_the_push_turns():
    both = [_frame("bco", [0.5, 0.1, -0.3]), _frame("kto", [0.1, 0.2, 0.1])]
    fig = views.thumb_pushes(pd.concat(both), caption="One of two turns.")
    first, second = fig.panels.charts
    assert [layer.x for layer in first.layers if isinstance(layer, Points)] == [[0.25]]
    assert not [layer for layer in second.layers if isinstance(layer, Points)]
    assert all(isinstance(chart.layers[0], HLine) for chart in (first, second))
    assert [la.label for la in first.layers if isinstance(la, Line)] == ["60% like it"]
    assert "dot" in fig.caption


def test_without_a_dot_the_caption_speaks_of_none():
    fig = views.thumb_pushes(_frame("kto", [0.1, 0.2, 0.1]), caption="None turns.")
    assert fig.caption == "None turns."
