"""How much probability lies on responses that no pair mentions."""

from collections.abc import Iterator

import pandas as pd

from workbench.views.aggregate import curve, headline, need, note, summary
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Band, HLine, Layer, Line, Points
from workbench.views.style import Style, looks, role

UNIT = "π(unseen) (probability)"


def unseen_mass(
    frame: pd.DataFrame,
    *,
    caption: str,
    by: str | None = "method",
    x: str = "step",
    against: tuple[str, str] | None = None,
    start: float | int | None = None,
    spread: str = "range",
    title: str = "Mass on unseen responses",
) -> Fig:
    """The mass on unseen responses along training, one line per method.

    Args:
        frame: DataFrame[seed, step, unseen, …], as `measure.rank_deficiency`'s
            tracker leaves it in a run's metrics.
        caption: one sentence that could be false.
        by: column whose values become lines; None gives one line.
        x: column on the x axis of the first panel.
        against: another column and its axis label with unit, such as ("margin",
            "margin (reward units)"): a second panel shows the mass against it, so that
            methods are compared where they have fitted the pairs equally well. Seeds
            are averaged at each step; the square is the first step.
        start: the reference's mass, drawn in grey.
        spread: what the band over seeds is, "range" or "interval".
        title: heading of the first panel.
    """
    columns = [by] if by else []
    need(frame, x, "unseen", *columns, *(against[:1] if against else ()))
    groups = {"policy": frame} if by is None else dict(_split(frame, by))
    styles = looks(groups)
    floor: list[Layer] = (
        [] if start is None else [HLine(start, "π_ref", role("reference"))]
    )
    first, second = list(floor), list(floor)
    for name, group in groups.items():
        first += curve(group, x, "unseen", name, styles[name], spread)
        if against is not None:
            second += _path(group, x, against[0], name, styles[name])
    remark = note(list(groups.values()), spread)
    limits = {"y_range": _range(first)}
    charts = [Chart(title, x, UNIT, first, remark, **limits)]
    if against is not None:
        charts.append(
            Chart(f"Against: {headline(against[1])}", against[1], UNIT, second)
        )
    return Fig(Panels(charts), caption, frame)


def _split(frame: pd.DataFrame, by: str) -> Iterator[tuple[str, pd.DataFrame]]:
    for name, group in frame.groupby(by, sort=False):
        yield str(name), group


def _range(layers: list[Layer]) -> tuple[float, float]:
    """From 0, so that heights can be compared."""
    tops = [max(la.high) for la in layers if isinstance(la, Band) and len(la.high)]
    tops += [max(la.y) for la in layers if isinstance(la, Line) and len(la.y)]
    tops += [la.y for la in layers if isinstance(la, HLine)]
    return 0.0, min(1.0, 1.08 * max(tops, default=1.0)) or 1.0


def _path(group: pd.DataFrame, x: str, other: str, name: str, style: Style):
    """The mean of both columns at each step, joined in the order of the steps."""
    table = summary(group, x, "unseen").set_index(x)["mean"].rename("unseen")
    across = summary(group, x, other).set_index(x)["mean"].rename("other")
    rows = pd.concat([across, table], axis=1).dropna().sort_index()
    at, up = rows["other"].tolist(), rows["unseen"].tolist()
    begin = Points(at[:1], up[:1], "", Style(style.colour, marker="square"), size=5)
    return [Line(at, up, name, style), begin]
