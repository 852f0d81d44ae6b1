"""Means of samples along training, each with its own interval."""

from collections.abc import Mapping

import pandas as pd

from workbench.views.aggregate import headline, need
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import HLine, Layer, Line, Points
from workbench.views.style import looks, role


def sampled_curves(
    frame: pd.DataFrame,
    columns: Mapping[str, str],
    *,
    caption: str,
    x: str = "step",
    by: str | None = None,
    zero: bool = False,
) -> Fig:
    """One panel per column: estimates with their intervals where there are some.

    Args:
        frame: tidy rows; a column ``kl`` may have ``kl_low`` and ``kl_high`` beside it.
        columns: column to axis label with unit.
        caption: one sentence that could be false.
        x: column on the x axis.
        by: column whose values become separate lines.
        zero: draw the level 0.
    """
    need(frame, x, *columns, *([by] if by else []))
    groups = {"": frame} if by is None else dict(iter(frame.groupby(by, sort=False)))
    styles, charts = looks(map(str, groups)), []
    for column, label in columns.items():
        layers: list[Layer] = [HLine(0.0)] if zero else []
        known = f"{column}_low" in frame.columns
        for name, group in groups.items():
            style = styles[str(name)] if by else role("policy")
            rows = group.dropna(subset=[column]).sort_values(x)
            at, y = rows[x].tolist(), rows[column].tolist()
            ends = [rows[f"{column}_{end}"].tolist() for end in ("low", "high")
                    ] if known else [(), ()]  # fmt: skip
            layers.append(Line(at, y, str(name), style))
            layers.append(Points(at, y, "", style, *ends))
        remark = "error bars: 95 % intervals" if known else ""
        charts.append(Chart(headline(label), x, label, layers, remark))
    return Fig(Panels(charts), caption, frame)
