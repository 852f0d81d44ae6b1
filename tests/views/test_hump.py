"""The hump: gold of one proxy with its peak marked, and gold of other proxies, thin."""

import pytest

from tests.views import frames
from workbench import views
from workbench.views.layers import Line, VLine


def test_other_paths_are_thin_and_the_peak_has_a_line():
    path = frames.curve()
    figure = views.overoptimisation(
        path, caption="Gold falls.", others=[path, path], peak=4.0
    )
    chart = figure.panels.charts[0]
    thin = [la for la in chart.layers if isinstance(la, Line) and la.faint]
    assert len(thin) == 2 and thin[0].y == path["gold"].tolist()
    lines = [la.x for la in chart.layers if isinstance(la, VLine)]
    assert lines == pytest.approx([2.0])
    assert chart.note == "thin: gold of 2 others"


def test_gold_alone_is_drawn_if_asked_for():
    figure = views.overoptimisation(
        frames.curve(), caption="Gold falls.", rewards=["gold"]
    )
    layers = figure.panels.charts[0].layers
    assert [layer.label for layer in layers] == ["gold"]
