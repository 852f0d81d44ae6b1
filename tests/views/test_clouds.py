"""Clouds of responses: the line through a cloud is covariance over variance."""

import pandas as pd
import pytest

from workbench import views
from workbench.views.clouds import LEAST, slope
from workbench.views.layers import Line, Points


def frame() -> pd.DataFrame:
    """Two policies on three responses to each of two prompts, one response too rare."""
    rare = LEAST / 2
    before = [("a", -1, -1, 0.6), ("b", 1, 1, 0.4 - rare), ("c", 9, 0, rare)]
    beyond = [("a", -1, 1, 0.5), ("b", 1, -1, 0.5), ("c", 0, 0, 0.0)]
    rows = [
        (place, prompt, name, proxy + shift, gold + shift, mass)
        for place, some in (("before", before), ("beyond", beyond))
        for prompt, shift in (("film", 0.0), ("plot", 5.0))
        for name, proxy, gold, mass in some
    ]
    names = ["place", "prompt", "name", "proxy", "gold", "probability"]
    return pd.DataFrame(rows, columns=names)


def test_the_slope_is_the_covariance_over_the_variance():
    """Equal weights at (−1, −1), (0, 1) and (1, 0): covariance 1/3, variance 2/3."""
    group = pd.DataFrame(
        {
            "proxy": [-1.0, 0.0, 1.0],
            "gold": [-1.0, 1.0, 0.0],
            "probability": [1 / 3] * 3,
        }
    )
    assert slope(group) == pytest.approx(0.5)


def test_a_shift_of_a_prompt_changes_nothing():
    """Both prompts of the frame differ by a constant: their responses coincide."""
    chart = views.clouds(frame(), caption="The slope turns.").panels.charts[1]
    dots = [layer for layer in chart.layers if isinstance(layer, Points)]
    assert len(dots) == 1
    places = list(zip(dots[0].x, dots[0].y, strict=True))
    assert sorted(places) == [(-1.0, 1.0)] * 2 + [(1.0, -1.0)] * 2


def test_each_policy_has_a_panel_with_its_line():
    figure = views.clouds(frame(), caption="The slope turns.")
    charts = figure.panels.charts
    assert [chart.title for chart in charts] == ["before", "beyond"]
    lines = [next(la for la in c.layers if isinstance(la, Line)) for c in charts]
    assert lines[0].y[1] > lines[0].y[0] and lines[1].y[1] < lines[1].y[0]


def test_a_likelier_response_is_larger_and_a_rare_one_is_left_out():
    chart = views.clouds(frame(), caption="The slope turns.").panels.charts[0]
    dots = [layer for layer in chart.layers if isinstance(layer, Points)]
    assert [dot.hover for dot in dots] == [["a", "a"], ["b", "b"]]
    assert dots[0].size > dots[1].size
