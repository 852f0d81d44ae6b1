"""Means over seeds with a band, and the sentence that says what the band is."""

import re
from collections.abc import Sequence

import pandas as pd

from workbench.views.layers import Band, Layer, Line
from workbench.views.style import Style

SPREADS = {"range": "min–max", "interval": "95 % interval of the mean"}


def headline(label: str) -> str:
    """A panel's title from an axis label: its words, without the unit in brackets.

    "gold reward (reward units)" becomes "Gold reward". Symbols that stand first
    (π, β, r̂) stay as they are.
    """
    words = re.sub(r"\s*\([^()]*\)$", "", label.strip()) or label.strip()
    return words[0].upper() + words[1:] if words[:1].isascii() else words


def need(frame: pd.DataFrame, *columns: str) -> None:
    """Fail early when a frame lacks a column.

    Raises:
        KeyError: names the missing columns and those that are there.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        have = ", ".join(map(str, frame.columns))
        raise KeyError(f"missing column {', '.join(missing)}; the frame has {have}")


def seeds(frame: pd.DataFrame) -> int:
    """How many seeds a frame holds; 1 when it has no `seed` column."""
    return int(frame["seed"].nunique()) if "seed" in frame.columns else 1


def summary(
    frame: pd.DataFrame, by: str, y: str, spread: str = "range"
) -> pd.DataFrame:
    """Mean of `y` over seeds at every value of `by`.

    Args:
        frame: tidy rows, a seed and step each.
        by: column on the x axis.
        y: column that is averaged.
        spread: "range" (min to max) or "interval" (95 % Student interval).

    Returns:
        DataFrame[by, mean, low, high], sorted by `by`.

    Raises:
        ValueError: unknown spread.
    """
    from workbench.core.statistics import interval

    need(frame, by, y)
    if spread not in SPREADS:
        raise ValueError(f"spread is one of {', '.join(SPREADS)}, not {spread!r}")
    rows = []
    for at, group in frame.groupby(by, sort=True):
        values = group[y].dropna().astype(float)
        if values.empty:
            continue
        mean, low, high = values.mean(), values.min(), values.max()
        if spread == "interval" and len(values) > 1:
            mean, low, high = interval(values.tolist())
        rows.append({by: at, "mean": mean, "low": low, "high": high})
    return pd.DataFrame(rows, columns=[by, "mean", "low", "high"])


def note(frames: pd.DataFrame | Sequence[pd.DataFrame], spread: str = "range") -> str:
    """What the bands are, for the legend; empty when there is only one seed."""
    frames = [frames] if isinstance(frames, pd.DataFrame) else frames
    count = max(map(seeds, frames))
    if count < 2:
        return ""
    return f"band: {SPREADS[spread]} over {count} seeds"


def curve(
    frame: pd.DataFrame,
    x: str,
    y: str,
    label: str,
    style: Style,
    spread: str = "range",
    markers: bool = False,
) -> list[Layer]:
    """The mean of `y` against `x` as a line, with its band when seeds differ."""
    table = summary(frame, x, y, spread)
    at = table[x].tolist()
    line = Line(at, table["mean"].tolist(), label, style, markers)
    if seeds(frame) < 2:
        return [line]
    return [Band(at, table["low"].tolist(), table["high"].tolist(), style), line]
