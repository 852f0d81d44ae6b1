"""What foretold that a chosen response would lose probability."""

from collections.abc import Mapping

import pandas as pd

from workbench.views.aggregate import need, seeds
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import HLine, Points
from workbench.views.style import role

UNIT = "change of log π (nats per response)"


def displacement(
    frame: pd.DataFrame,
    scores: Mapping[str, str],
    *,
    caption: str,
    rejected: bool = False,
    title: str = "",
) -> Fig:
    """The change of log π(chosen) of each pair against what was known beforehand.

    Above each panel stands the rank correlation of the score with the LOSS of
    probability: 1 if a higher score always means a larger fall of the chosen response.

    Args:
        frame: DataFrame[pair, chosen(, rejected, seed), …scores], one row per pair, as
            `measure.displacement.change` gives it with the scores merged in.
        scores: column to axis label with unit, such as
            {"ches": "CHES (hidden units²)"}; each gets a panel.
        caption: one sentence that could be false.
        rejected: draw the rejected responses too.
        title: heading over all panels.
    """
    need(frame, "chosen", *scores, *(["rejected"] if rejected else []))
    sides = ["rejected", "chosen"] if rejected else ["chosen"]
    several = seeds(frame) > 1
    charts = []
    for column, label in scores.items():
        x = frame[column].astype(float).tolist()
        layers = [HLine(0.0)]
        for side in sides:
            y, style = frame[side].astype(float).tolist(), role(side)
            layers.append(Points(x, y, side, style, size=4, faint=len(frame) > 100))
        head = f"Rank correlation with the fall: {foretold(frame, column)}"
        remark = f"{seeds(frame)} seeds" if several else ""
        charts.append(Chart(head, label, UNIT, layers, remark))
    return Fig(Panels(charts, title), caption, frame)


def foretold(frame: pd.DataFrame, score: str) -> str:
    """The rank correlation of a score with −chosen; over seeds mean and range."""
    from workbench.core.statistics import rank_correlation

    if seeds(frame) < 2:
        return f"{rank_correlation(frame[score], -frame['chosen']):.2f}"
    groups = [group for _, group in frame.groupby("seed")]
    each = [rank_correlation(group[score], -group["chosen"]) for group in groups]
    mean = sum(each) / len(each)
    return f"{mean:.2f} ({min(each):.2f} to {max(each):.2f})"
