"""How each layer of a chart becomes plotly traces and shapes (plain dicts)."""

import html
from dataclasses import dataclass
from functools import singledispatch

from workbench.views.layers import Band, Bars, Heat, HLine, Line, Points, Text, VLine
from workbench.views.style import tint

# matplotlib's PuOr; plotly.js has no scale of that name.
_PUOR = [
    [0.0, "#7f3b08"],
    [0.25, "#faae58"],
    [0.5, "#f7f7f7"],
    [0.75, "#a7a0cb"],
    [1.0, "#2d004b"],
]
PIXELS = 100  # pixels an inch, as in the PNG


@dataclass(frozen=True)
class Axes:
    """Which plotly axes and legend a panel uses ("" is the first, then "2" …)."""

    suffix: str
    horizontal: bool = False

    @property
    def names(self) -> dict[str, str]:
        """The keys that tie a trace to its panel."""
        return {
            "xaxis": f"x{self.suffix}",
            "yaxis": f"y{self.suffix}",
            "legend": f"legend{self.suffix}",
        }


def short(value: float | int | None) -> float | None:
    """Five significant digits; not-a-number and infinities become None."""
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return None
    return float(f"{value:.5g}")


def column(values) -> list[float | None]:
    """A list for JSON, each value through `short`."""
    return [short(float(value)) for value in values]


def plain(text: str) -> str:
    """Text for plotly, which reads a little HTML and, with MathJax, $…$."""
    line = " ".join(str(text).split())
    return html.escape(line, quote=False).replace("$", "&#36;")


def _named(label: str) -> dict:
    return {"name": plain(label), "showlegend": bool(label)}


def _spread(values, low, high) -> dict:
    up = [short(h - v) for v, h in zip(values, high, strict=True)]
    down = [short(v - lo) for v, lo in zip(values, low, strict=True)]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down}


@singledispatch
def traces(layer, axes: Axes) -> list[dict]:
    """The plotly traces of one layer."""
    raise TypeError(f"no plotly trace for {type(layer).__name__}")


@traces.register
def _(layer: Line, axes: Axes) -> list[dict]:
    mode = "lines+markers" if layer.markers else "lines"
    style = layer.style
    width, seen = (7, 0.45) if layer.wide else (1, 0.5) if layer.faint else (2, 1)
    look = {"color": style.colour, "dash": style.dash, "width": width}
    return [
        {"type": "scatter", "x": column(layer.x), "y": column(layer.y), "mode": mode}
        | {"line": look, "marker": {"symbol": style.marker, "size": 5}}
        | ({"opacity": seen} if seen < 1 else {})
        | _named(layer.label)
        | axes.names
    ]


@traces.register
def _(layer: Band, axes: Axes) -> list[dict]:
    x = column(layer.x)
    around = [*x, *reversed(x)]
    edge = [*column(layer.low), *reversed(column(layer.high))]
    look = {"fill": "toself", "fillcolor": tint(layer.style.colour, 0.2)}
    line = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    base = {"type": "scatter", "x": around, "y": edge, "showlegend": False}
    return [base | look | line | axes.names]


@traces.register
def _(layer: Points, axes: Axes) -> list[dict]:
    style = layer.style
    mark = {
        "color": style.colour,
        "symbol": style.marker,
        "size": short(1.3 * layer.size),
    }
    trace = {"type": "scatter", "x": column(layer.x), "y": column(layer.y)}
    trace |= {"mode": "markers", "marker": mark, "opacity": 0.4 if layer.faint else 1}
    if len(layer.low):
        trace["error_y"] = _spread(layer.y, layer.low, layer.high)
    if len(layer.hover):
        trace["text"] = [plain(text) for text in layer.hover]
    return [trace | _named(layer.label) | axes.names]


@traces.register
def _(layer: Bars, axes: Axes) -> list[dict]:
    at, values = list(range(len(layer.names))), column(layer.y)
    trace = {"type": "bar", "marker": {"color": layer.style.colour}}
    trace |= {"hovertext": [plain(name) for name in layer.names]}
    if axes.horizontal:
        trace |= {"x": values, "y": at, "orientation": "h"}
    else:
        trace |= {"x": at, "y": values}
    if len(layer.low):
        side = "error_x" if axes.horizontal else "error_y"
        trace[side] = _spread(layer.y, layer.low, layer.high)
    return [trace | _named(layer.label) | axes.names]


@traces.register
def _(layer: Heat, axes: Axes) -> list[dict]:
    table = [[short(value) for value in row] for row in layer.z]
    words = [
        ["<br>".join(map(plain, word.split("\n"))) for word in row]
        for row in layer.text
    ]
    reach = max((abs(v) for row in table for v in row if v is not None), default=1.0)
    look = {"colorscale": _PUOR, "zmin": -reach, "zmax": reach}
    bar = {"title": {"text": plain(layer.label), "side": "right"}}
    heat = {"type": "heatmap", "z": table, "text": words, "texttemplate": "%{text}"}
    names = {key: axes.names[key] for key in ("xaxis", "yaxis")}
    return [heat | look | {"colorbar": bar} | names]


@traces.register
def _(layer: Text, axes: Axes) -> list[dict]:
    place = {"top": "top center", "bottom": "bottom center"}.get(layer.side)
    place = place or f"middle {layer.side}"
    base = {"type": "scatter", "x": [short(layer.x)], "y": [short(layer.y)]}
    word = {"mode": "text", "text": [plain(layer.text)], "textposition": place}
    return [base | word | {"showlegend": False, "hoverinfo": "skip"} | axes.names]


def _across(layer: HLine | VLine, axes: Axes, ends: dict) -> dict:
    look = {"color": layer.style.colour, "dash": layer.style.dash, "width": 1.2}
    return {"type": "line", "line": look, "layer": "above"} | ends


@traces.register
def _(layer: HLine | VLine, axes: Axes) -> list[dict]:
    """Only the legend entry; the line itself is a shape."""
    if not layer.label:
        return []
    look = {"color": layer.style.colour, "dash": layer.style.dash, "width": 1.2}
    empty = {"type": "scatter", "x": [None], "y": [None], "mode": "lines"}
    return [empty | {"line": look} | _named(layer.label) | axes.names]


def shape(layer: HLine | VLine, axes: Axes) -> dict:
    """The plotly shape of a line across a panel."""
    x, y = f"x{axes.suffix}", f"y{axes.suffix}"
    if isinstance(layer, HLine):
        at = short(layer.y)
        ends = {"x0": 0, "x1": 1, "y0": at, "y1": at}
        return _across(layer, axes, ends | {"xref": f"{x} domain", "yref": y})
    at = short(layer.x)
    ends = {"x0": at, "x1": at, "y0": 0, "y1": 1}
    return _across(layer, axes, ends | {"xref": x, "yref": f"{y} domain"})
