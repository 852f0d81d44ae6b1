"""A small declarative chart: what is drawn, not how.

One specification, two renderers: `draw_matplotlib.render` and
`draw_plotly.render` read the same `Panels`, so the picture in print and the live
one cannot disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, log10

from workbench.views.layers import Bars, Heat, Layer, Line, Number, legend_entry

CLOSE = 0.01  # of the drawn height: two lines nearer than this look like one


@dataclass(frozen=True)
class Chart:
    """One pair of axes.

    Args:
        title: what is shown.
        x_label, y_label: quantity and unit, such as "KL (nats per sequence)".
        layers: drawn in order.
        note: what bands or error bars are; stands in the legend, with a grey patch
            when it begins with "band".
        horizontal: bars lie along x, first name on top.
        x_names: names of the places 0, 1, 2 … on x, for points without a scale.
        x_ticks: where the x axis is labelled; chosen by the renderer if empty.
        bare: no axes, equal scales (the simplex).
        width: this panel's share of the row, against the other panels'.
    """

    title: str
    x_label: str
    y_label: str
    layers: Sequence[Layer]
    note: str = ""
    x_log: bool = False
    y_log: bool = False
    x_range: tuple[Number, Number] | None = None
    y_range: tuple[Number, Number] | None = None
    horizontal: bool = False
    x_names: Sequence[str] = ()
    x_ticks: Sequence[Number] = ()
    bare: bool = False
    width: Number = 1

    @property
    def drawn(self) -> list[Layer]:
        """The layers, a line that a later one covers made wide, so that both are seen.

        Two lines coincide if at equal x they are nowhere further apart than a
        hundredth of the drawn height.
        """
        lines = [la for la in self.layers if isinstance(la, Line) and not la.faint]
        high = {id(la): [_height(y, self.y_log) for y in la.y] for la in lines}
        values = [y for ys in high.values() for y in ys if isfinite(y)]
        near = CLOSE * (max(values) - min(values)) if values else 0.0

        def coincide(one: Line, other: Line) -> bool:
            if len(one.x) < 2 or list(one.x) != list(other.x):
                return False
            pairs = zip(high[id(one)], high[id(other)], strict=True)
            return all(a == b or abs(a - b) <= near for a, b in pairs)

        covered = {
            id(one)
            for i, one in enumerate(lines)
            if any(coincide(one, other) for other in lines[i + 1 :])
        }
        return [
            replace(la, wide=True) if isinstance(la, Line) and id(la) in covered else la
            for la in self.layers
        ]

    @property
    def bar_layers(self) -> list[Bars]:
        """The bar layers, in order."""
        return [layer for layer in self.layers if isinstance(layer, Bars)]

    @property
    def notes_band(self) -> bool:
        """Whether the note is about bands."""
        return self.note.startswith("band")

    @property
    def has_heat(self) -> bool:
        """Whether a layer is a heat table."""
        return any(isinstance(layer, Heat) for layer in self.layers)

    @property
    def legend(self) -> list[str]:
        """The labels the legend shows, note included."""
        labels = [legend_entry(layer) for layer in self.layers]
        return [text for text in [*labels, self.note] if text]


def _height(y: Number, logarithmic: bool) -> float:
    """Where a value stands on the axis."""
    if not logarithmic:
        return float(y)
    return log10(y) if y > 0 else -inf


@dataclass(frozen=True)
class Panels:
    """Charts side by side under one heading."""

    charts: Sequence[Chart]
    title: str = ""
    height: Number = 3.3  # inches of the plotting area and its title

    def __post_init__(self) -> None:
        if not self.charts:
            raise ValueError("Panels needs at least one chart")

    @property
    def colours(self) -> list[str]:
        """The colours of all series."""
        layers = [layer for chart in self.charts for layer in chart.layers]
        return [layer.style.colour for layer in layers if hasattr(layer, "style")]

    @property
    def widths(self) -> list[float]:
        """Each panel's share of the width; they sum to 1."""
        total = sum(chart.width for chart in self.charts)
        return [chart.width / total for chart in self.charts]

    @property
    def legend_columns(self) -> int:
        """A single panel has room for two columns of legend entries."""
        return 2 if len(self.charts) == 1 and len(self.charts[0].legend) > 3 else 1

    @property
    def legend_rows(self) -> int:
        """Rows of the longest legend."""
        longest = max(len(chart.legend) for chart in self.charts)
        return -(-longest // self.legend_columns)

    @property
    def legend_height(self) -> float:
        """Inches that the longest legend needs."""
        return 0.06 + 0.19 * self.legend_rows

    @property
    def size(self) -> tuple[Number, Number]:
        """Width and height in inches, legends included."""
        width = {1: 6.0, 2: 8.4}.get(len(self.charts), 8.8)
        return width, self.height + self.legend_height + (0.3 if self.title else 0.0)
