"""Loss and push against the margin: what a link asks of a pair, and when it stops."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from workbench.views.aggregate import need
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import HLine, Layer, Line, Number, Points, VLine
from workbench.views.style import looks

MARGIN = "margin D (nats)"
Range = tuple[Number, Number]


def links(
    frame: pd.DataFrame,
    *,
    caption: str,
    push: str = "push_chosen",
    loss_range: Range | None = None,
    push_range: Range | None = None,
    loss: bool = True,
) -> Fig:
    """Loss of a pair and push on one of its responses against the margin.

    Args:
        frame: DataFrame[method, margin, loss, push_chosen, push_rejected], rows of
            ``measure.pull.of_grid`` with the method's name; one row per method and
            margin.
        caption: one sentence that could be false.
        push: the column of the right panel, a push in loss units per nat.
        loss_range, push_range: ends of the y axes, where one link would hide the rest.
        loss: False leaves the panel of the loss out.

    Raises:
        ValueError: a method has several rows at one margin, e.g. a table of two
            log-ratios: take a line through it.
    """
    need(frame, "method", "margin", "loss", push)
    if frame.duplicated(["method", "margin"]).any():
        raise ValueError("a method has several rows at one margin: no line")
    curves = {
        str(k): g.sort_values("margin") for k, g in frame.groupby("method", sort=False)
    }
    sign = -1 if push == "push_rejected" else 1
    left: list[Layer] = [VLine(0.0)]
    right: list[Layer] = [VLine(0.0), HLine(0.0)]
    for name, style in looks(curves).items():
        group = curves[name]
        x = group["margin"].tolist()
        left.append(Line(x, group["loss"].tolist(), name, style))
        right.append(Line(x, group[push].tolist(), "" if loss else name, style))
        # the rejected response is pushed down: its push ends where it is 0 or above
        if ends := stops(x, (sign * group[push]).tolist()):
            right.append(Points(ends, [0.0] * len(ends), "", style, size=8))
    remark = "marker: here the push ends or turns round"
    title = f"Push on the {push.removeprefix('push_')} response"
    charts = [
        Chart("Loss of a pair", MARGIN, "loss (own unit)", left, y_range=loss_range),
        Chart(title, MARGIN, "push (loss per nat)", right, remark, y_range=push_range),
    ]
    return Fig(Panels(charts if loss else charts[1:]), caption, frame)


def stops(margin: Sequence[Number], push: Sequence[Number]) -> list[float]:
    """Margins at which a push that was above 0 is so no longer, in nats.

    A change of sign between two points is interpolated; a jump to 0 counts where the
    first 0 is.
    """
    x, y = np.asarray(margin, dtype=float), np.asarray(push, dtype=float)
    at = np.flatnonzero((y[:-1] > 0) & (y[1:] <= 0))
    share = y[at] / (y[at] - y[at + 1])
    return (x[at] + share * (x[at + 1] - x[at])).tolist()
