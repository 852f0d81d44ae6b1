"""A control that is a table: one of its rows is pressed."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST = 30  # rows in a book
GAP = "\u00a0\u00a0"  # a button takes several common spaces for one
HIGH, ROW = "17em", "1.9em"
FONT = {"font_family": "monospace", "font_size": "12px"}


@dataclass(frozen=True)
class RowTable:
    """Rows of words, each a button; reached with Tab, pressed with Space.

    A list box would not do: JupyterLab takes its arrow keys to move between cells, and
    its letters have different widths, so that columns do not line up.

    Args:
        label: what stands above the table.
        heads: the names of the columns.
        rows: the control's values, and the cells of each.
        start: which row is pressed first.

    Raises:
        ValueError: the start is no row, or a row has other cells than the heads.
    """

    label: str
    heads: Sequence[str]
    rows: Mapping[Any, Sequence[str]]
    start: Any

    def __post_init__(self) -> None:
        if self.start not in self.rows:
            raise ValueError(f"“{self.label}” has no row {self.start!r}")
        if any(len(cells) != len(self.heads) for cells in self.rows.values()):
            raise ValueError(f"“{self.label}” has rows of other than its heads")

    def lines(self) -> dict[Any, str]:
        """Each row as one line whose columns line up in letters of one width."""
        table = [self.heads, *self.rows.values()]
        wide = [max(map(len, column)) for column in zip(*table, strict=True)]
        return {
            value: GAP.join(
                cell.ljust(size).replace(" ", "\u00a0")
                for cell, size in zip(cells, wide, strict=True)
            )
            for value, cells in {None: self.heads, **self.rows}.items()
        }

    def told(self, value: Any) -> str:
        """A row in words, for a book."""
        return " · ".join(cell.strip() for cell in self.rows[value])

    def widget(self) -> Any:
        """The head, and under it the rows in a box that scrolls."""
        return _table(self)

    def grid(self) -> list[Any]:
        """At most thirty of the rows, and the start."""
        values = list(self.rows)
        few = values[:: -(-len(values) // MOST)]
        return [value for value in values if value in few or value == self.start]


def _table(control: RowTable) -> Any:
    """A box of buttons with a `value`, which others may set too."""
    import traitlets
    from ipywidgets import HTML, Button, Layout, VBox

    class Table(VBox):
        value = traitlets.Any()

    lines = control.lines()
    size = f"font-family:monospace;font-size:{FONT['font_size']}"
    top = HTML(
        f"{html.escape(control.label)}<br>"
        f'<span style="{size}">{GAP}{html.escape(lines.pop(None))}</span>'
    )
    buttons = {}
    for value, line in lines.items():
        look = Layout(width="max-content", height=ROW, flex="0 0 auto")
        buttons[value] = Button(description=line, style=FONT, layout=look)
        buttons[value].on_click(lambda _, value=value: setattr(table, "value", value))

    def show(change: object = None) -> None:
        for value, button in buttons.items():
            pressed = value == table.value
            button.button_style = "info" if pressed else ""
            # seen without colours, and read aloud
            button.description = ("▸" if pressed else "\u00a0") + lines[value]

    many = {"max_height": HIGH, "overflow": "auto", "flex_flow": "column nowrap"}
    rows = VBox(list(buttons.values()), layout=Layout(**many))
    table = Table([top, rows], value=control.start)
    table.observe(show, names="value")
    show()
    return table
