"""What a chart is made of: lines, bands, points, bars, heat tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.views.style import Style, role

Number = float | int
Numbers = Sequence[Number]


def _same_length(kind: str, **columns: Sequence) -> None:
    sizes = {name: len(values) for name, values in columns.items() if len(values)}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"{kind}: columns differ in length: {sizes}")


@dataclass(frozen=True)
class Line:
    """A line through (x, y).

    `faint` draws one of many, thin and pale; `wide` one that another line covers.
    """

    x: Numbers
    y: Numbers
    label: str = ""
    style: Style = role("policy")
    markers: bool = False
    faint: bool = False
    wide: bool = False

    def __post_init__(self) -> None:
        _same_length("Line", x=self.x, y=self.y)


@dataclass(frozen=True)
class Band:
    """The area between `low` and `high`; the chart's `note` says what it is."""

    x: Numbers
    low: Numbers
    high: Numbers
    style: Style = role("policy")

    def __post_init__(self) -> None:
        _same_length("Band", x=self.x, low=self.low, high=self.high)


@dataclass(frozen=True)
class Points:
    """Markers, with vertical error bars when `low` and `high` are given."""

    x: Numbers
    y: Numbers
    label: str = ""
    style: Style = role("policy")
    low: Numbers = ()
    high: Numbers = ()
    hover: Sequence[str] = ()
    size: Number = 7
    faint: bool = False

    def __post_init__(self) -> None:
        _same_length("Points", x=self.x, y=self.y, low=self.low, high=self.high)


@dataclass(frozen=True)
class Bars:
    """Bars at 0, 1, 2 … under `names`; several `Bars` in a chart stand in groups.

    Names may repeat: a bar belongs to its place, not to its name.
    """

    names: Sequence[str]
    y: Numbers
    label: str = ""
    style: Style = role("policy")
    low: Numbers = ()
    high: Numbers = ()

    def __post_init__(self) -> None:
        _same_length("Bars", names=self.names, y=self.y, low=self.low, high=self.high)


@dataclass(frozen=True)
class HLine:
    """A horizontal line across the chart."""

    y: Number
    label: str = ""
    style: Style = role("guide")


@dataclass(frozen=True)
class VLine:
    """A vertical line across the chart."""

    x: Number
    label: str = ""
    style: Style = role("guide")


@dataclass(frozen=True)
class Heat:
    """A table of coloured cells, colours symmetric about zero, values printed.

    Args:
        z: rows of values, first row on top; None leaves a cell empty.
        rows: one name per row.
        text: what stands in each cell, rows as in `z`.
        label: quantity and unit of the colour.
    """

    z: Sequence[Sequence[Number | None]]
    rows: Sequence[str]
    text: Sequence[Sequence[str]]
    label: str = ""

    def __post_init__(self) -> None:
        _same_length("Heat", z=self.z, rows=self.rows, text=self.text)


@dataclass(frozen=True)
class Text:
    """A word at a place; `side` says which side of (x, y) it stands on."""

    x: Number
    y: Number
    text: str
    side: str = "top"  # "top", "bottom", "left" or "right"


Layer = Line | Band | Points | Bars | HLine | VLine | Heat | Text


def legend_entry(layer: Layer) -> str:
    """The legend entry of a layer; heat labels stand at the colour bar."""
    return "" if isinstance(layer, Band | Heat | Text) else layer.label
