"""The push on a single response against its log-ratio, one panel per method."""

import pandas as pd

from workbench.views.aggregate import need
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import HLine, Layer, Line, Points
from workbench.views.loss_curves import stops
from workbench.views.style import series


def thumb_pushes(frame: pd.DataFrame, *, caption: str) -> Fig:
    """How hard a loss of thumbs pushes a response, and where it stops.

    Args:
        frame: DataFrame[method, share, logratio, push], rows of
            ``measure.single_responses.of_grid``.
        caption: one sentence that could be false.

    A dot marks the place where a push turns from up to down.
    """
    need(frame, "method", "share", "logratio", "push")
    charts = []
    for name, group in frame.groupby("method", sort=False):
        layers: list[Layer] = [HLine(0.0)]
        for i, (share, rows) in enumerate(group.groupby("share")):
            style, rows = series(i), rows.sort_values("logratio")
            x, y = rows["logratio"].tolist(), rows["push"].tolist()
            layers.append(Line(x, y, f"{share:.0%} like it", style))
            if ends := stops(x, y):
                layers.append(Points(ends, [0.0] * len(ends), "", style, size=9))
        title = f"Push of {str(name).upper()} on a response"
        axes = "log-ratio d (nats)", "push (loss units per nat)"
        charts.append(Chart(title, *axes, layers))
    remark = "A dot: here a push turns from up to down." if _any_stops(frame) else ""
    return Fig(Panels(charts), f"{caption} {remark}".strip(), frame)


def _any_stops(frame: pd.DataFrame) -> bool:
    groups = frame.groupby(["method", "share"])["push"]
    return bool((groups.min().lt(0) & groups.max().gt(0)).any())
