"""A measure against what was swept: β, noise, pairs, width; one line per method."""

import itertools
import math
from collections.abc import Mapping

import pandas as pd

from workbench.views.aggregate import curve, headline, need, note
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import HLine, Layer, Line
from workbench.views.style import GREY, Style, look, looks, role

ROOM = 0.08  # of the axis, for one tick label
Exact = float | int | pd.DataFrame


def sweep(
    frame: pd.DataFrame,
    x: str,
    y: Mapping[str, str],
    by: str | None = None,
    *,
    caption: str,
    exact: Exact | Mapping[str, Exact] | None = None,
    exact_label: str = "exact",
    x_label: str = "",
    title: str = "",
    spread: str = "range",
    log_x: bool = False,
    log_y: bool = False,
) -> Fig:
    """Means over seeds at each swept value, marked and joined, with a band.

    Args:
        frame: tidy rows, one per seed, swept value and method. Seeds are told apart
            by a column `seed`; without one, equal values of `x` are averaged and
            there is no band. A missing value (NaN) is left out.
        x: column that was swept, numbers (names belong into `bars`).
        y: column to axis label with unit, such as {"gold": "gold (reward units)"};
            each column gets a panel.
        by: column whose values (methods, settings) become lines. A method, role or
            kind of data that has a look keeps it; no two lines look alike.
        caption: one sentence that could be false.
        exact: what the lines are to meet, drawn dashed. A number: a level. A frame
            with columns `x` and the panel's: a curve; with column `by` too, a curve
            for each line, in its colour. A mapping gives each panel its own.
        exact_label: what the legend calls it.
        x_label: quantity and unit of `x`; the column's name if empty.
        title: heading.
        spread: what the band over seeds is, "range" or "interval".
        log_x, log_y: logarithmic axes.

    Raises:
        KeyError: a column is missing.
        TypeError: `x` holds names.
        ValueError: a logarithmic x axis and a value that is not positive.
    """
    need(frame, x, *y, *([by] if by else []))
    _scale(frame[x], x, log_x)
    groups = {"": frame} if by is None else dict(iter(frame.groupby(by, sort=False)))
    groups = {str(name): group for name, group in groups.items()}
    known = exact if isinstance(exact, Mapping) else dict.fromkeys(y, exact)
    charts = []
    for column, label in y.items():
        styles = looks(groups) if by else {"": look(column)}
        layers = _exact(known.get(column), (x, column, by), styles, exact_label)
        for name, group in groups.items():
            layers += curve(group, x, column, name, styles[name], spread, markers=True)
        bands = note(list(groups.values()), spread)
        head = title if len(y) == 1 and title else headline(label)
        axes = {"x_log": log_x, "y_log": log_y, "x_ticks": ticks(frame[x], log_x)}
        charts.append(Chart(head, x_label or x, label, layers, bands, **axes))
    return Fig(Panels(charts, title if len(y) > 1 else ""), caption, frame)


def _scale(values: pd.Series, name: str, log: bool) -> None:
    if not pd.api.types.is_numeric_dtype(values):
        raise TypeError(f"{name} holds names; views.bars draws those")
    if log and (values <= 0).any():
        raise ValueError(f"{name} = {values.min():g} has no place on a log axis")


def ticks(values: pd.Series, log: bool) -> list[float]:
    """The swept values, if there is room to label each; none otherwise."""
    at = sorted(float(value) for value in values.dropna().unique())
    places = [math.log(value) for value in at] if log else at
    gaps = [b - a for a, b in itertools.pairwise(places)]
    return at if gaps and min(gaps) >= ROOM * sum(gaps) else []


def _exact(
    known: Exact | None,
    columns: tuple[str, str, str | None],
    styles: Mapping[str, Style],
    label: str,
) -> list[Layer]:
    """A level, one curve, or a curve for each line."""
    x, y, by = columns
    black = role("exact")
    if known is None:
        return []
    if isinstance(known, float | int):
        return [HLine(known, label, black)]
    need(known, x, y)
    if by is None or by not in known.columns:
        path = known.sort_values(x)
        return [Line(path[x].tolist(), path[y].tolist(), label, black)]
    nowhere = [float("nan")]
    layers: list[Layer] = [Line(nowhere, nowhere, label, Style(GREY, black.dash))]
    for name, group in known.groupby(by, sort=False):
        path, style = group.sort_values(x), styles[str(name)]
        dashed = Style(style.colour, black.dash, style.marker)
        layers.append(Line(path[x].tolist(), path[y].tolist(), "", dashed))
    return layers
