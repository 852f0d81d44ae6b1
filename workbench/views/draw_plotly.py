"""Draw `Panels` as plotly JSON: plain dicts, no plotly import, no template.

A figure made by plotly.py carries a 7 KB template; this one carries its data,
rounded to five significant digits.
"""

from workbench.views.chart import Chart, Panels
from workbench.views.layers import Bars, Heat, HLine, VLine
from workbench.views.marks_plotly import PIXELS, Axes, plain, shape, short, traces
from workbench.views.style import GREY, tint

_GRID = {"gridcolor": "#e6e6e6", "zeroline": False, "linecolor": "#444", "ticks": ""}
_LEGEND_ROW = 19  # pixels
LONGEST = 32  # characters of a tick label


def _note(chart: Chart, axes: Axes) -> list[dict]:
    """A legend entry that says what bands and error bars are."""
    if not chart.note:
        return []
    mark = {
        "symbol": "square",
        "size": 11,
        "color": tint(GREY, 0.35 if chart.notes_band else 0.0),
    }
    empty = {"type": "scatter", "x": [None], "y": [None], "mode": "markers"}
    name = {"name": plain(chart.note), "showlegend": True}
    return [empty | {"marker": mark} | name | axes.names]


def _room(chart: Chart) -> int:
    """Pixels left of a panel for its axis title and tick labels."""
    if not (chart.has_heat or chart.horizontal):
        return 20 if chart.bare else 62
    names = [name for la in chart.bar_layers for name in la.names]
    names += [name for la in chart.layers if isinstance(la, Heat) for name in la.rows]
    longest = max((len(str(name)) for name in names), default=0)
    return 34 + round(6.2 * min(longest, LONGEST))


def _domains(panels: Panels, pixels: float | int) -> list[tuple[float, float]]:
    """The horizontal share of each panel, with room for the axis labels.

    Args:
        panels: the charts.
        pixels: width of the plotting area, the first panel's room not included.
    """
    rooms = [0.0, *(_room(chart) / pixels for chart in panels.charts[1:])]
    free = 1.0 - sum(rooms)
    domains, left = [], 0.0
    for share, room in zip(panels.widths, rooms, strict=True):
        left += room
        domains.append((round(left, 4), round(min(left + share * free, 1.0), 4)))
        left += share * free
    return domains


def _axis(label: str, log: bool, limits, hidden: bool) -> dict:
    axis = {"title": {"text": plain(label), "standoff": 8}, **_GRID, "automargin": True}
    axis |= {"visible": not hidden}
    if log:
        axis["type"] = "log"
    if limits:
        from math import log10

        axis["range"] = [short(log10(v) if log else v) for v in limits]
    return axis


def _ticks(names) -> dict:
    text = [
        plain(name if len(name) <= LONGEST else name[: LONGEST - 1] + "…")
        for name in names
    ]
    return {"tickvals": list(range(len(text))), "ticktext": text}


def _panel_axes(chart: Chart, axes: Axes, domain: tuple[float, float]) -> dict:
    x = _axis(chart.x_label, chart.x_log, chart.x_range, chart.bare)
    y = _axis(chart.y_label, chart.y_log, chart.y_range, chart.bare)
    x |= {"domain": list(domain), "anchor": f"y{axes.suffix}"}
    y |= {"anchor": f"x{axes.suffix}"}
    if chart.bare:
        y |= {"scaleanchor": f"x{axes.suffix}", "scaleratio": 1}
    if chart.x_ticks:
        x["tickvals"] = [short(at) for at in chart.x_ticks]
        x["ticktext"] = [f"{at:g}" for at in chart.x_ticks]
    if chart.x_names:
        x |= _ticks(chart.x_names) | {"range": [-0.6, len(chart.x_names) - 0.4]}
    for layer in chart.layers:
        if isinstance(layer, Bars):
            (y if chart.horizontal else x).update(_ticks(layer.names))
        if isinstance(layer, Heat):
            y |= _ticks(layer.rows)
    if chart.has_heat or (chart.horizontal and chart.bar_layers):
        y["autorange"] = "reversed"
    return {f"xaxis{axes.suffix}": x, f"yaxis{axes.suffix}": y}


def _layout(panels: Panels, charts: list[tuple[Chart, Axes]]) -> dict:
    width, height = panels.size
    top = 62 if panels.title else 34
    bottom = 48 + _LEGEND_ROW * panels.legend_rows
    plot = height * PIXELS - top - bottom
    layout = {"width": round(width * PIXELS), "height": round(height * PIXELS)}
    left, right = _room(panels.charts[0]), 70 if panels.charts[-1].has_heat else 12
    layout |= {"margin": {"l": left, "r": right, "t": top, "b": bottom}}
    across = width * PIXELS - left - right
    layout |= {"plot_bgcolor": "#fff", "paper_bgcolor": "#fff", "barmode": "group"}
    layout |= {"font": {"size": 12}, "annotations": [], "shapes": []}
    if panels.title:
        layout["title"] = {"text": plain(panels.title), "x": 0.01, "font": {"size": 15}}
    for (chart, axes), domain in zip(charts, _domains(panels, across), strict=True):
        layout |= _panel_axes(chart, axes, domain)
        at = {
            "x": domain[0],
            "y": short(-44 / plot),
            "xanchor": "left",
            "yanchor": "top",
        }
        if panels.legend_columns > 1:
            at |= {"orientation": "h", "entrywidth": 0.45, "entrywidthmode": "fraction"}
        layout[f"legend{axes.suffix}"] = at | {"font": {"size": 11}}
        head = {"text": plain(chart.title), "showarrow": False, "font": {"size": 13}}
        where = {"xref": "paper", "yref": "paper", "x": domain[0], "y": 1.0}
        sides = {"xanchor": "left", "yanchor": "bottom"}
        layout["annotations"].append(head | where | sides)
        lines = [la for la in chart.layers if isinstance(la, HLine | VLine)]
        layout["shapes"] += [shape(line, axes) for line in lines]
    return layout


def render(panels: Panels) -> dict:
    """Draw `panels`.

    Args:
        panels: what to draw.

    Returns:
        {"data": [...], "layout": {...}}, JSON values only.
    """
    charts = [
        (chart, Axes("" if i == 0 else str(i + 1), chart.horizontal))
        for i, chart in enumerate(panels.charts)
    ]
    data = []
    for chart, axes in charts:
        for layer in chart.drawn:
            data += traces(layer, axes)
        data += _note(chart, axes)
    return _short({"data": data, "layout": _layout(panels, charts)})


def _short(value: object) -> object:
    """Floats to six significant digits: no eye sees more, and files are shorter."""
    if isinstance(value, dict):
        return {key: _short(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_short(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
