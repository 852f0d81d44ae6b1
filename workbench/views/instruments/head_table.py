"""A control that is a table: its heads are pressed, and put its rows in order."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import isnan
from typing import Any

from workbench.views.instruments.controls import Choice, shown

Cell = str | float | int
STATIC = resources.files("workbench.views") / "static"
_RENDER = """
export default {
  render({ model, el }) {
    el.innerHTML = model.get("markup");
    const pick = (key) => { model.set("value", key); model.save_changes(); };
    const wired = globalThis.workbench.sortable(el.firstElementChild, pick);
    wired.choose(model.get("value"));
    model.on("change:value", () => wired.choose(model.get("value")));
  },
};
"""


@dataclass(frozen=True)
class Head:
    """One column.

    Attributes:
        key: its name, and the control's value when it is pressed.
        hint: what it means, shown by the mouse.
        small: whether the best number is the smallest, which then comes first.
        picks: whether a press moves the instrument too; else it only sorts.
    """

    key: str
    hint: str = ""
    small: bool = False
    picks: bool = True


@dataclass(frozen=True)
class HeadTable:
    """Rows of numbers under heads; a press sorts by a column, a second one turns round.

    Its value is the column pressed last. Rows whose name lacks a word can be left out.
    Heads are buttons: reached with Tab, pressed with Space or Enter.

    Args:
        label: what stands above the table.
        heads: the columns; the first one names the rows.
        rows: a cell per head; a number that is not known is NaN.
        start: the column by which the rows are sorted first.

    Raises:
        ValueError: the start is no column that can be chosen, or a row has other
            cells than the heads.
    """

    label: str
    heads: Sequence[Head]
    rows: Sequence[Sequence[Cell]]
    start: str

    def __post_init__(self) -> None:
        if self.start not in self.grid():
            raise ValueError(f"“{self.label}” has no column {self.start!r}")
        if any(len(cells) != len(self.heads) for cells in self.rows):
            raise ValueError(f"“{self.label}” has rows of other than its heads")

    def widget(self) -> Any:
        """The table; without the package anywidget, a button per column."""
        try:
            made = _widget_class()
        except ImportError:
            return Choice(self.label, self.grid(), self.start).widget()
        return made(markup=markup(self.table()), value=self.start)

    def grid(self) -> list[str]:
        """The columns that can be chosen."""
        return [head.key for head in self.heads if head.picks]

    def told(self, value: str) -> str:
        """The name of a column."""
        return value

    def table(self) -> dict[str, Any]:
        """What `markup` reads, JSON values; a number that is not known is None."""
        heads = [
            {"text": head.key, "hint": head.hint}
            | {"small": head.small, "picks": head.picks}
            for head in self.heads
        ]
        rows = [[_number(cell) for cell in cells] for cells in self.rows]
        return {"label": self.label, "heads": heads, "rows": rows}


def _number(cell: Cell) -> Cell | None:
    if isinstance(cell, str):
        return cell
    return None if isnan(cell) else float(f"{cell:.6g}")


def is_table(found: Any) -> bool:
    """Whether a JSON value is what `HeadTable.table` gives."""
    if not isinstance(found, dict) or not isinstance(found.get("label"), str):
        return False
    heads, rows = found.get("heads"), found.get("rows")
    if not (isinstance(heads, list) and heads and isinstance(rows, list)):
        return False
    kinds = {"text": str, "hint": str, "small": bool, "picks": bool}
    return all(
        isinstance(head, dict)
        and all(isinstance(head.get(key), kind) for key, kind in kinds.items())
        for head in heads
    ) and all(
        isinstance(cells, list)
        and len(cells) == len(heads)
        and all(cell is None or isinstance(cell, str | float | int) for cell in cells)
        for cells in rows
    )


def markup(table: dict[str, Any]) -> str:
    """A table as HTML for `sortable.js`, with every text escaped.

    Args:
        table: of `HeadTable.table`.
    """
    heads = "".join(map(_head, table["heads"]))
    body = "".join(
        f"<tr>{''.join(_cell(cell, at) for at, cell in enumerate(cells))}</tr>"
        for cells in table["rows"]
    )
    label, names = html.escape(table["label"]), html.escape(table["heads"][0]["text"])
    return (
        f'<div class="wb-sort"><label>{names} with <input type="search"></label>'
        '<span aria-live="polite"></span>'
        f"<div><table><caption>{label}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div></div>"
    )


def _head(head: dict[str, Any]) -> str:
    text, hint = html.escape(head["text"]), html.escape(head["hint"])
    first = "ascending" if head["small"] or not head["picks"] else "descending"
    key = f' data-key="{text}"' if head["picks"] else ""
    title = f' title="{hint}"' if hint else ""
    return (
        f'<th scope="col" data-first="{first}"{key}>'
        f'<button type="button"{title}>{text}</button></th>'
    )


def _cell(cell: Cell | None, at: int) -> str:
    if isinstance(cell, str):
        text, value = html.escape(cell), ""
    else:
        text = "–" if cell is None else shown(float(cell))
        value = f' data-value="{"" if cell is None else cell}"'
    if at:
        return f"<td{value}>{text}</td>"
    return f'<th scope="row"{value}>{text}</th>'


@cache
def _widget_class() -> type:
    """An ipywidget that shows the markup and keeps the pressed column."""
    import anywidget
    import traitlets

    class Sortable(anywidget.AnyWidget):
        _esm = (STATIC / "sortable.js").read_text(encoding="utf-8") + _RENDER
        _css = (STATIC / "sortable.css").read_text(encoding="utf-8")
        markup = traitlets.Unicode().tag(sync=True)
        value = traitlets.Any().tag(sync=True)

    return Sortable
