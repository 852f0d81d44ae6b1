"""Clouds of responses: gold against proxy, each response as large as its probability.

A covariance made visible: the slope of the line through a cloud is the covariance of
gold and proxy divided by the variance of the proxy, under the policy of that panel.
"""

import numpy as np
import pandas as pd

from workbench.views.aggregate import need
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import HLine, Line, Points
from workbench.views.style import role

SIZE = 34.0  # a response of probability 1 would have this diameter
LEAST = 0.002  # rarer responses are too small to be seen


def clouds(frame: pd.DataFrame, *, caption: str, title: str = "") -> Fig:
    """One panel per policy: its responses by proxy and gold, and the line through them.

    Args:
        frame: DataFrame[place, prompt, name, proxy, gold, probability], as
            `measure.overoptimisation.responses_at` gives it; `place` heads a panel.
        caption: one sentence that could be false.
        title: heading over all panels.

    Proxy and gold are drawn from the policy's mean at the same prompt: only what
    happens within a prompt counts. Every panel has its own scale of the proxy and all
    have the same scale of gold.
    """
    need(frame, "place", "prompt", "name", "proxy", "gold", "probability")
    frame = _from_the_mean(frame)
    seen = frame[frame["probability"] >= LEAST]
    charts = []
    for place, group in seen.groupby("place", sort=False):
        x, y = _ends(group["proxy"]), _ends(seen["gold"])
        steep = slope(frame[frame["place"] == place])
        line = Line(list(x), [steep * at for at in x], "slope", role("fitted"))
        axes = (
            "proxy above its mean (reward units)",
            "gold above its mean (reward units)",
        )
        layers = [HLine(0.0), *_responses(group), line]
        charts.append(Chart(str(place), *axes, layers, x_range=x, y_range=y))
    return Fig(Panels(charts, title, height=3.0), caption, seen)


def slope(group: pd.DataFrame) -> float:
    """Covariance of proxy and gold over variance of the proxy, of centred values."""
    weight = group["probability"]
    x, y = group["proxy"], group["gold"]
    return float((weight * x * y).sum() / (weight * x * x).sum())


def _from_the_mean(frame: pd.DataFrame) -> pd.DataFrame:
    """Proxy and gold minus their means; prompts count in equal shares."""
    parts = []
    for _, group in frame.groupby(["place", "prompt"], sort=False):
        weight = group["probability"] / group["probability"].sum()
        mean = {name: (weight * group[name]).sum() for name in ("proxy", "gold")}
        moved = {name: group[name] - value for name, value in mean.items()}
        parts.append(group.assign(**moved, probability=weight))
    prompts = frame["prompt"].nunique()
    table = pd.concat(parts)
    return table.assign(probability=table["probability"] / prompts)


def _ends(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.12 * (high - low) or 1.0
    return low - room, high + room


def _responses(group: pd.DataFrame) -> list[Points]:
    """Responses of nearly the same size as one layer; the small ones lie on top."""
    size = (SIZE * np.sqrt(group["probability"])).round().clip(lower=2)
    layers = []
    for diameter, some in sorted(group.groupby(size), key=lambda part: -part[0]):
        at = [some[name].round(3).tolist() for name in ("proxy", "gold")]
        words = some["name"].astype(str).tolist()
        look = role("policy")
        layers.append(Points(*at, "", look, hover=words, size=float(diameter)))
    return layers
