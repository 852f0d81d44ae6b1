"""Reliability diagram: does a stated preference probability hold?"""

import pandas as pd

from workbench.views.aggregate import need
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Bars, Line
from workbench.views.style import role


def reliability(
    frame: pd.DataFrame, *, caption: str, title: str = "Reliability"
) -> Fig:
    """Predicted probability against how often it came true, and the bins' shares.

    Args:
        frame: DataFrame[low, high, predicted, observed, share], a row a bin, as
            `measure.calibration.reliability` gives it; low and high are bin edges.
        caption: one sentence that could be false.
        title: heading of the left panel.
    """
    need(frame, "low", "high", "predicted", "observed", "share")
    rows = frame[frame["share"] > 0].sort_values("predicted")
    x, y = rows["predicted"].tolist(), rows["observed"].tolist()
    ideal = Line([0.0, 1.0], [0.0, 1.0], "calibrated", role("exact"))
    seen = Line(x, y, "bins of pairs", role("proxy"), markers=True)
    unit = {"x_range": (0.0, 1.0), "y_range": (0.0, 1.0)}
    stated = "predicted P(first preferred) (probability)"
    left = Chart(title, stated, "observed share preferred", [ideal, seen], **unit)
    middles = (rows["low"] + rows["high"]) / 2
    names = [f"{middle:.2f}" for middle in middles]
    shares = Bars(names, rows["share"].tolist(), "", role("proxy"))
    right = Chart(
        "Where the pairs lie",
        "middle of the bin (probability)",
        "share of pairs",
        [shares],
    )
    return Fig(Panels([left, right]), caption, frame)
