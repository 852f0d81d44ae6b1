"""How each layer of a chart is drawn with matplotlib."""

from dataclasses import dataclass
from functools import singledispatch

from workbench.views.layers import Band, Bars, Heat, HLine, Line, Points, Text, VLine
from workbench.views.style import Style

_DASH = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_MARKER = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "cross": "P",
    "x": "X",
    "star": "*",
}


@dataclass(frozen=True)
class Place:
    """Where a bar layer stands in its group, and which way bars lie."""

    index: int = 0
    count: int = 1
    horizontal: bool = False


def plain(text: str, limit: int = 90) -> str:
    """Text for matplotlib: no mathematics from data, no line breaks, not endless."""
    line = " ".join(str(text).split())
    line = line if len(line) <= limit else line[: limit - 1] + "…"
    return line.replace("$", r"\$")


def _look(style: Style) -> dict:
    return {"color": style.colour, "linestyle": _DASH[style.dash]}


@singledispatch
def draw(layer, axes, place: Place) -> None:
    """Draw one layer into matplotlib axes."""
    raise TypeError(f"no drawing for {type(layer).__name__}")


@draw.register
def _(layer: Line, axes, place: Place) -> None:
    marker = _MARKER[layer.style.marker] if layer.markers else None
    label = plain(layer.label) or None
    width, seen = (5.5, 0.45) if layer.wide else (0.8, 0.5) if layer.faint else (1.6, 1)
    look = _look(layer.style) | {"linewidth": width, "alpha": seen}
    axes.plot(layer.x, layer.y, label=label, marker=marker, markersize=4, **look)


@draw.register
def _(layer: Band, axes, place: Place) -> None:
    colour = layer.style.colour
    axes.fill_between(layer.x, layer.low, layer.high, color=colour, alpha=0.2, lw=0)


@draw.register
def _(layer: Points, axes, place: Place) -> None:
    alpha = 0.35 if layer.faint else 1.0
    style = {"color": layer.style.colour, "alpha": alpha, "linestyle": "none"}
    marker = _MARKER[layer.style.marker]
    label = plain(layer.label) or None
    axes.plot(
        layer.x, layer.y, marker=marker, markersize=layer.size, label=label, **style
    )
    if len(layer.low):
        axes.vlines(layer.x, layer.low, layer.high, color=layer.style.colour, lw=1.4)


@draw.register
def _(layer: Bars, axes, place: Place) -> None:
    thick = 0.8 / place.count
    shift = (place.index - (place.count - 1) / 2) * thick
    at = [i + shift for i in range(len(layer.names))]
    colour, label = layer.style.colour, plain(layer.label) or None
    names = [plain(name, 32) for name in layer.names]
    if place.horizontal:
        axes.barh(at, layer.y, height=thick, color=colour, label=label)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(False, axis="y")
        if len(layer.low):
            axes.hlines(at, layer.low, layer.high, color="#333333", lw=1.2)
        return
    axes.bar(at, layer.y, width=thick, color=colour, label=label)
    turn = 35 if sum(map(len, names)) > 40 else 0
    side = "right" if turn else "center"
    axes.set_xticks(range(len(names)), names, rotation=turn, ha=side)
    axes.grid(False, axis="x")
    if len(layer.low):
        axes.vlines(at, layer.low, layer.high, color="#333333", lw=1.4)


@draw.register
def _(layer: HLine, axes, place: Place) -> None:
    axes.axhline(
        layer.y, label=plain(layer.label) or None, lw=1.2, **_look(layer.style)
    )


@draw.register
def _(layer: VLine, axes, place: Place) -> None:
    axes.axvline(
        layer.x, label=plain(layer.label) or None, lw=1.2, **_look(layer.style)
    )


@draw.register
def _(layer: Heat, axes, place: Place) -> None:
    table = [[float("nan") if v is None else v for v in row] for row in layer.z]
    reach = max((abs(v) for row in table for v in row if v == v), default=1.0) or 1.0
    image = axes.imshow(table, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto")
    for row, words in enumerate(layer.text):
        for column, word in enumerate(words):
            dark = abs(table[row][column]) > 0.65 * reach
            ink = "white" if dark else "black"
            text = "\n".join(plain(part, 18) for part in word.split("\n"))
            axes.text(column, row, text, ha="center", va="center", color=ink, size=8)
    axes.set_yticks(range(len(layer.rows)), [plain(name, 32) for name in layer.rows])
    axes.set_xticks(range(max(map(len, table))))
    axes.grid(False)
    axes.figure.colorbar(image, ax=axes, label=plain(layer.label), shrink=0.9)


@draw.register
def _(layer: Text, axes, place: Place) -> None:
    across = {"left": "right", "right": "left"}.get(layer.side, "center")
    along = {"top": "bottom", "bottom": "top"}.get(layer.side, "center")
    axes.text(layer.x, layer.y, plain(layer.text), ha=across, va=along)
