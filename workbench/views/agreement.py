"""A prediction beside the truth: points around the diagonal."""

from collections.abc import Mapping

import pandas as pd

from workbench.views.aggregate import need
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Layer, Line, Points
from workbench.views.style import looks, role


def agreement(
    frames: Mapping[str, pd.DataFrame],
    x: str,
    y: str,
    *,
    caption: str,
    x_label: str,
    y_label: str,
    title: str,
) -> Fig:
    """What is said against what is so; where both are equal there is a dashed line.

    Args:
        frames: name of who says it to its rows.
        x: column of the true values.
        y: column of what is said, in the same unit.
        caption: one sentence that could be false.
        x_label, y_label: quantity and unit.
        title: heading.
    """
    for frame in frames.values():
        need(frame, x, y)
    rows = pd.concat([part.assign(of=name) for name, part in frames.items()])
    ends = [float(rows[x].min()), float(rows[x].max())]
    layers: list[Layer] = [Line(ends, ends, "equal", role("exact"))]
    for name, style in looks(frames).items():
        part = frames[name]
        layers.append(Points(part[x].tolist(), part[y].tolist(), name, style, size=6))
    chart = Chart(title, x_label, y_label, layers)
    return Fig(Panels([chart], height=3.6), caption, rows)
