"""States for a book: rebuilt from base and changes they are the figures themselves."""

import copy
import json

import pandas as pd
import pytest

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.clip_explorer import clip_explorer
from workbench.views.instruments.controls import Slider, Switch
from workbench.views.instruments.states import MOST, differences, states
from workbench.views.layers import Line, VLine


def draw(n: int, marked: bool) -> Fig:
    layers = [Line([0, 1, 2], [0, n / 3, n], "line")]
    layers += [VLine(1.0)] if marked else []
    caption = f"It ends at {n}."
    frame = pd.DataFrame({"n": [n]})
    return Fig(Panels([Chart(f"n = {n}", "x", "y", layers)]), caption, frame)


CONTROLS = {"n": Slider("n", range(5), 2, coarse=(0, 4)), "marked": Switch("mark")}


def applied(base, changes):
    """What a page does with a list of changes."""
    made = {"caption": "", **copy.deepcopy(base)}
    for change in changes:
        *way, last = change["path"]
        place = made
        for key in way:
            place = place[key]
        if change["value"] is None:
            place.pop(last, None)
        else:
            place[last] = change["value"]
    return made


def _four_digits(value):
    text = json.dumps(value)
    return json.loads(text, parse_float=lambda number: float(f"{float(number):.4g}"))


def test_every_state_is_its_figure():
    found = json.loads(json.dumps(states("tester", draw, CONTROLS)))
    assert [c["values"] for c in found["controls"]] == [
        ["0", "2", "4"],
        ["False", "True"],
    ]
    assert [c["start"] for c in found["controls"]] == [1, 0]
    assert set(found["states"]) == {f"{i},{j}" for i in range(3) for j in range(2)}
    for i, n in enumerate((0, 2, 4)):
        for j, marked in enumerate((False, True)):
            made = applied(found["base"], found["states"][f"{i},{j}"])
            figure = draw(n, marked)
            assert made.pop("caption") == figure.caption
            assert made["layout"] == _four_digits(figure.plotly["layout"])
            assert made["data"][0]["y"] == pytest.approx([0, n / 3, n], rel=1e-3)


def test_what_does_not_change_is_written_once():
    assert list(differences({"a": [1, 2], "b": 3}, {"a": [1, 2], "b": 4})) == [
        {"path": ["b"], "value": 4}
    ]
    assert list(
        differences({"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 1}, {"x": 5}]})
    ) == [{"path": ["a", 1, "x"], "value": 5}]
    assert list(differences({"a": 1}, {})) == [{"path": ["a"], "value": None}]


def test_a_control_that_a_book_cannot_step_through_leaves_no_states():
    class Anything:
        label, start = "labels", 2

        def widget(self):
            return None

        def grid(self):
            return []

        def told(self, value):
            return ""

    assert states("tester", draw, CONTROLS | {"n": Anything()}) is None


def test_an_instrument_fits_a_page():
    text = json.dumps(clip_explorer(live=False).states(), separators=(",", ":"))
    assert 1_000 < len(text.encode()) <= MOST
