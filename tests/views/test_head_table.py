"""The table whose heads are pressed: what it says, escapes and refuses."""

import json
import math
import sys
from html.parser import HTMLParser

import pytest

from workbench.views.instruments.controls import Control
from workbench.views.instruments.head_table import Head, HeadTable, is_table, markup

HEADS = (
    Head("method", picks=False),
    Head("gold", "the reward"),
    Head("kl", "nats", small=True),
)
ROWS = (("dpo", 1.23456789, 2.0), ("<b>ipo</b>", math.nan, 0.5))


@pytest.fixture
def control():
    return HeadTable("Means", HEADS, ROWS, "gold")


class Parts(HTMLParser):
    """Tags with their attributes, and the texts of cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_the_columns_that_move_the_figure_are_its_values(control):
    assert isinstance(control, Control)
    assert control.grid() == ["gold", "kl"] and control.told("kl") == "kl"


def test_every_head_is_a_button_with_its_first_direction(control):
    parts = Parts(markup(control.table()))
    heads = [
        attrs for tag, attrs in parts.tags if tag == "th" and "data-first" in attrs
    ]
    assert [head["data-first"] for head in heads] == [
        "ascending", "descending", "ascending",
    ]  # fmt: skip
    assert [head.get("data-key") for head in heads] == [None, "gold", "kl"]
    buttons = [attrs for tag, attrs in parts.tags if tag == "button"]
    assert [one.get("title") for one in buttons] == [None, "the reward", "nats"]
    assert {one["type"] for one in buttons} == {"button"}


def test_cells_are_escaped_and_numbers_are_kept_for_sorting(control):
    text = markup(control.table())
    assert "<b>" not in text and "&lt;b&gt;ipo" in text
    parts = Parts(text)
    values = [a["data-value"] for _, a in parts.tags if "data-value" in a]
    assert values == ["1.23457", "2.0", "", "0.5"]  # an unknown one is empty
    assert [t for t in parts.texts if t[0].isdigit() or t == "–"] == [
        "1.23", "2", "–", "0.5",
    ]  # fmt: skip


def test_its_json_is_a_table_and_little_else_is(control):
    table = json.loads(json.dumps(control.table(), allow_nan=False))
    assert is_table(table)
    wrong = [None, [], {}, {"label": "a"}, {**table, "label": 1}]
    wrong += [{**table, "heads": []}, {**table, "heads": [{"text": "method"}]}]
    wrong += [{**table, "rows": [["dpo", 1.0]]}, {**table, "rows": [[{}, 1.0, 2.0]]}]
    wrong += [{**table, "rows": 3}, {**table, "rows": ["abc"]}]
    assert [one for one in wrong if is_table(one)] == []


def test_what_is_no_table_is_refused():
    with pytest.raises(ValueError, match="no column 'method'"):
        HeadTable("n", HEADS, ROWS, "method")
    with pytest.raises(ValueError, match="other than its heads"):
        HeadTable("n", HEADS[:2], ROWS, "gold")


def test_the_widget_holds_script_style_and_table(control):
    widget = control.widget()
    assert widget.value == "gold" and widget.markup == markup(control.table())
    assert "store.sortable" in widget._esm and "export default" in widget._esm
    assert ".wb-sort" in widget._css
    seen = []
    widget.observe(lambda change: seen.append(change.new), names="value")
    widget.value = "kl"
    assert seen == ["kl"]


def test_without_anywidget_there_is_a_button_per_column(control, monkeypatch):
    from workbench.views.instruments import head_table

    head_table._widget_class.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    widget = control.widget()
    assert [value for _, value in widget.options] == ["gold", "kl"]
    assert widget.value == "gold"
