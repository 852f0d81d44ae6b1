"""Reliability diagram: does a stated preference probability hold?"""

import pandas as pd

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Bars, Line, Points
from workbench.views.spread import need
from workbench.views.style import role


def reliability(
    frame: pd.DataFrame, *, caption: str, title: str = "Reliability"
) -> Fig:
    """Stated probability against how often it came true, and how many pairs a bin.

    Args:
        frame: DataFrame[confidence, accuracy, count], a row a bin; with `low` and
            `high` the accuracy has error bars (95 % intervals).
        caption: one sentence that could be false.
        title: heading of the left panel.
    """
    need(frame, "confidence", "accuracy", "count")
    rows = frame[frame["count"] > 0]
    bounds = {}
    if {"low", "high"} <= set(rows.columns):
        bounds = {"low": rows["low"].tolist(), "high": rows["high"].tolist()}
    x, y = rows["confidence"].tolist(), rows["accuracy"].tolist()
    seen = Points(x, y, "bins of pairs", role("proxy"), **bounds)
    ideal = Line([0.0, 1.0], [0.0, 1.0], "calibrated", role("exact"))
    left = Chart(
        title,
        "stated P(first preferred) (probability)",
        "share that came true",
        [ideal, Line(x, y, "", role("proxy")), seen],
        "error bars: 95 % intervals" if bounds else "",
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
    )
    names = [f"{value:.2f}" for value in rows["confidence"]]
    counts = Bars(names, rows["count"].astype(float).tolist(), "", role("proxy"))
    right = Chart("Pairs in each bin", "mean stated probability", "pairs", [counts])
    return Fig(Panels([left, right]), caption, frame)
