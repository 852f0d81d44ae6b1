"""The figure of links: what is drawn, and where a push stops."""

import io
import json
import re

import pandas as pd
import pytest
import torch

from workbench.measure.gradient_weights import of_grid
from workbench.methods.direct.links import apo_down, discopop, dpo, exo_pref, hinge, ipo
from workbench.methods.direct.noise import cdpo
from workbench.views.fig import Fig
from workbench.views.layers import Line, Points
from workbench.views.loss_curves import links, stops
from workbench.views.style import METHODS

SAID = {"caption": "The hinge stops at 1/β and DPO never."}
USED = {
    "dpo": (dpo, dpo.Config(beta=0.5)),
    "ipo": (ipo, ipo.Config(tau=0.1)),
    "hinge": (hinge, hinge.Config(beta=0.5)),
    "exo_pref": (exo_pref, exo_pref.Config(beta=0.5, epsilon=0.1)),
    "cdpo": (cdpo, cdpo.Config(beta=0.5, epsilon=0.1)),
    "discopop": (discopop, discopop.Config(beta=0.5)),
}


def frame():
    """Six links on 61 margins from −6 to 9 nats."""
    grid = torch.linspace(-6, 9, 61)
    parts = [of_grid(m, c, grid, 0.0).assign(method=k) for k, (m, c) in USED.items()]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def figure():
    ranges = {"loss_range": (-0.5, 6), "push_range": (-0.8, 1.5)}
    return links(frame(), **ranges, **SAID)


def layers(figure, kind, panel):
    return [la for la in figure.panels.charts[panel].layers if isinstance(la, kind)]


def test_a_line_a_method_in_each_panel_with_one_look(figure):
    loss, push = layers(figure, Line, 0), layers(figure, Line, 1)
    assert [line.label for line in loss] == list(USED)
    assert [line.style for line in loss] == [line.style for line in push]
    assert loss[0].style == METHODS["dpo"] and loss[0].y[24] == pytest.approx(
        0.6931, 1e-3
    )
    assert push[0].y[24] == pytest.approx(0.25)
    looks = {(line.style.colour, line.style.dash) for line in loss}
    assert len(looks) == len(USED)


def test_the_push_alone_names_its_lines():
    alone = links(frame(), loss=False, **SAID)
    assert len(alone.panels.charts) == 1
    assert [line.label for line in layers(alone, Line, 0)] == list(USED)


def test_marks_stand_where_each_push_stops(figure):
    """Hinge at 1/β = 2, IPO at 1/(2τ) = 5, EXO and cDPO at log 9/β = 4.394."""
    marks = {p.style: p.x for p in layers(figure, Points, 1)}
    styles = {line.label: line.style for line in layers(figure, Line, 0)}
    ends = {name: marks.get(style) for name, style in styles.items()}
    assert ends["dpo"] is None
    assert ends["hinge"] == pytest.approx([2.0])
    assert ends["ipo"] == pytest.approx([5.0])
    assert ends["cdpo"] == pytest.approx([4.394], abs=0.01)
    assert ends["exo_pref"] == pytest.approx([4.394], abs=0.01)
    assert ends["discopop"] == pytest.approx([-0.237], abs=0.1)


def test_a_stop_is_a_change_from_above_0_to_0_or_below():
    assert stops([0, 1, 2, 3, 4], [1.0, -1.0, 1.0, 0.0, 0.0]) == [0.5, 3.0]
    assert stops([0, 1, 2], [-1.0, 0.0, 1.0]) == []


def test_the_other_response_can_be_shown():
    rows = frame()
    drawn = links(rows, push="push_rejected", **SAID)
    assert layers(drawn, Line, 1)[0].y[24] == pytest.approx(-0.25)
    assert layers(drawn, Points, 1)[0].x == pytest.approx([5.0])  # IPO's
    assert "rejected" in drawn.panels.charts[1].title


def test_a_table_of_two_log_ratios_is_refused():
    at = torch.tensor([0.0, 1.0, 2.0])
    table = of_grid(apo_down, apo_down.Config(), at[:, None], at).assign(method="x")
    with pytest.raises(ValueError, match="one margin"):
        links(table, **SAID)


def test_a_missing_column_is_named():
    with pytest.raises(KeyError, match="method"):
        links(frame().drop(columns="method"), **SAID)


def test_more_methods_than_colours_still_differ():
    one = of_grid(dpo, dpo.Config(), torch.linspace(-1, 1, 5), 0.0)
    many = pd.concat([one.assign(method=f"new {i}") for i in range(12)])
    drawn = layers(links(many, **SAID), Line, 0)
    assert len({(line.style.colour, line.style.dash) for line in drawn}) == 12


def test_the_live_figure_is_valid_and_small(figure):
    import plotly.graph_objects as go

    go.Figure(figure.plotly)
    assert len(json.dumps(figure.plotly, allow_nan=False)) < 30_000


def test_the_picture_is_a_small_png_and_drawn_alike_twice(figure):
    from PIL import Image

    again = Fig(figure.panels, figure.caption, figure.data)
    assert again.png == figure.png and len(figure.png) < 90_000
    picture = Image.open(io.BytesIO(figure.png))
    assert picture.format == "PNG" and picture.width <= 1800
    for edge in (picture.crop((0, 0, picture.width, 1)), picture.crop((0, 0, 1, 300))):
        assert edge.convert("L").getextrema() == (255, 255)


def test_axes_name_quantity_and_unit(figure):
    for chart in figure.panels.charts:
        for label in (chart.x_label, chart.y_label):
            assert re.search(r"\(.+\)", label), label
