"""Bars of means, with error bars over seeds."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from workbench.views.aggregate import SPREADS, headline, need, seeds, summary
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Bars, HLine, Layer
from workbench.views.style import looks, role


def bars(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    caption: str,
    label: str,
    by: str | None = None,
    title: str = "",
    spread: str = "range",
    exact: float | int | None = None,
    horizontal: bool = False,
) -> Fig:
    """Bars of the mean of `y` for each value of `x`, error bars over seeds.

    Args:
        frame: tidy rows.
        x: column that names the bars.
        y: column that is averaged.
        caption: one sentence that could be false.
        label: quantity and unit of `y`.
        by: column whose values stand side by side in each group.
        title: heading; the label without its unit if empty.
        spread: what the error bars are, "range" or "interval".
        exact: a known value, drawn dashed in black (upright bars only).
        horizontal: bars lie along x (long names).
    """
    need(frame, x, y, *([by] if by else []))
    groups = {y: frame} if by is None else dict(iter(frame.groupby(by, sort=False)))
    places = list(dict.fromkeys(frame[x]))
    names, drawn = [str(place) for place in places], []
    styles = looks(map(str, groups))
    for name, group in groups.items():
        table = summary(group, x, y, spread).set_index(x).reindex(places)
        wide = bool((table["high"] > table["low"]).any())
        ends = {k: table[k].tolist() for k in ("low", "high")} if wide else {}
        style, tag = styles[str(name)], str(name) if by else ""
        drawn.append(Bars(names, table["mean"].tolist(), tag, style, **ends))
    line = [] if exact is None else [HLine(exact, "exact", role("exact"))]
    layers: list[Layer] = [*line, *drawn]
    remark = _note(frame, spread) if any(len(bar.low) for bar in drawn) else ""
    axes = (label, x) if horizontal else (x, label)
    chart = Chart(
        title or headline(label), *axes, layers, remark, horizontal=horizontal
    )
    height = len(places) * 0.26 + 1.0 if horizontal else 3.2
    return Fig(Panels([chart], height=height), caption, frame)


def bar_panels(
    frame: pd.DataFrame,
    x: str,
    columns: Mapping[str, str],
    *,
    caption: str,
    title: str = "",
    spread: str = "range",
) -> Fig:
    """A panel of bars for each of several measures, with the same names below.

    Args:
        frame: tidy rows.
        x: column that names the bars.
        columns: measure to axis label with unit; a panel's title is the label without
            its unit.
        caption: one sentence that could be false.
        title: heading over all panels.
        spread: what the error bars are, "range" or "interval".
    """
    charts = []
    for column, label in columns.items():
        said = {"caption": caption, "label": label, "spread": spread}
        charts += bars(frame, x, column, **said).panels.charts
    # narrow panels have no room for a note each, and theirs is the same
    charts[1:] = [replace(chart, note="") for chart in charts[1:]]
    return Fig(Panels(charts, title), caption, frame)


def _note(frame: pd.DataFrame, spread: str) -> str:
    count = seeds(frame)
    of = f"{count} seeds" if count > 1 else "rows"
    return f"error bars: {SPREADS[spread]} over {of}"
