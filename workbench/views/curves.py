"""General views: training curves and distributions."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from workbench.views.aggregate import curve, headline, need, note, seeds
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import HLine, Layer, Line, VLine
from workbench.views.style import look, looks, role


def training_curves(
    frame: pd.DataFrame,
    columns: Mapping[str, str],
    *,
    caption: str,
    x: str = "step",
    by: str | None = None,
    title: str = "",
    spread: str = "range",
    log_y: bool = False,
    log_x: bool = False,
    zero: bool = False,
) -> Fig:
    """One panel per column, one line per value of `by`.

    Args:
        frame: tidy rows, a seed and step each.
        columns: column to axis label with unit, such as {"loss": "DPO loss (nats)"}.
            The panel's title is the label without its unit.
        caption: one sentence that could be false.
        x: column on the x axis.
        by: column whose values (methods, settings) become separate lines.
        title: heading over all panels.
        spread: what the band over seeds is, "range" or "interval".
        log_y, log_x: logarithmic axes.
        zero: draw the level 0, for a column whose sign matters.
    """
    need(frame, x, *columns, *([by] if by else []))
    groups = {"": frame} if by is None else dict(iter(frame.groupby(by, sort=False)))
    charts, styles = [], looks(map(str, groups))
    for column, unit in columns.items():
        layers: list[Layer] = [HLine(0.0)] if zero else []
        for name, group in groups.items():
            style = styles[str(name)] if by else look(column)
            label = str(name) if by else _of_all(group)
            layers += curve(group, x, column, label, style, spread)
        bands, head = note(list(groups.values()), spread), headline(unit)
        scale = {"x_log": log_x, "y_log": log_y}
        charts.append(Chart(head, x, unit, layers, bands, **scale))
    return Fig(Panels(charts, title), caption, frame)


def _of_all(frame: pd.DataFrame) -> str:
    """The legend entry of the only line: with a band beside it, it needs one."""
    return f"mean over {seeds(frame)} seeds" if seeds(frame) > 1 else ""


def distribution(
    values: Mapping[str, Sequence[float | int]],
    *,
    caption: str,
    label: str,
    bins: int = 30,
    title: str = "",
    marks: Mapping[str, float | int] | None = None,
) -> Fig:
    """Histograms as outlines on common bins, each scaled to an area of 1.

    Args:
        values: name (a role or method key keeps its colour) to samples.
        caption: one sentence that could be false.
        label: quantity and unit of the samples.
        bins: how many equal bins over the range of all samples.
        title: heading.
        marks: name to value, vertical lines (a known mean, a threshold).
    """
    every = np.concatenate([np.asarray(v, dtype=float) for v in values.values()])
    edges = np.histogram_bin_edges(every[np.isfinite(every)], bins)
    layers: list[Layer] = [
        VLine(float(at), name, role("exact")) for name, at in (marks or {}).items()
    ]
    table = {"bin": (edges[:-1] + edges[1:]) / 2}
    styles = looks(values)
    for name, sample in values.items():
        share, _ = np.histogram(np.asarray(sample, dtype=float), edges, density=True)
        steps = np.repeat(edges, 2)[1:-1], np.repeat(share, 2)
        layers.append(Line(steps[0].tolist(), steps[1].tolist(), name, styles[name]))
        table[name] = share
    chart = Chart(title, label, "density (1 / unit of x)", layers)
    return Fig(Panels([chart]), caption, pd.DataFrame(table))
