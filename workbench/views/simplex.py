"""Paths of a policy over three responses, drawn on the triangle of mixtures."""

from collections.abc import Iterable, Sequence
from math import sqrt

import pandas as pd

from workbench.views.aggregate import need
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Layer, Line, Points, Text
from workbench.views.style import BLACK, GREY, METHODS, Style, method, role, series

HEIGHT = sqrt(3) / 2
PLACES = "starts to choose from"


def corner_xy(shares: Iterable[float | int]) -> tuple[float, float]:
    """Where a mixture of three responses lies: first left, second right, third on top.

    Args:
        shares: three probabilities that sum to 1.

    Raises:
        ValueError: not three, negative, or not summing to 1.
    """
    shares = tuple(map(float, shares))
    first, second, third = shares
    if min(first, second, third) < -1e-9 or abs(first + second + third - 1) > 1e-6:
        raise ValueError(f"no mixture of three responses: {shares}")
    return second + third / 2, third * HEIGHT


def simplex(
    trajectories: pd.DataFrame,
    nash: Iterable[float | int] | None,
    *,
    caption: str,
    names: Sequence[str] = ("rock", "paper", "scissors"),
    title: str = "Mixtures of three responses",
    goal: str = "Nash equilibrium (exact)",
    places: Sequence[Sequence[float | int]] = (),
) -> Fig:
    """Trajectories on the 3-simplex, with the exact place where they should end.

    Args:
        trajectories: DataFrame[curve, step, *names], probabilities; a path a `curve`
            (a method key gives the path that method's look).
        nash: the exact place (a cross) as three probabilities, or None.
        caption: one sentence that could be false.
        names: the three probability columns, corners left, right and top.
        title: heading.
        goal: what the legend calls that place, if it is no equilibrium.
        places: mixtures to click, drawn as faint dots called ``PLACES``.
    """
    need(trajectories, "curve", "step", *names)
    edge = Style("#999999")
    layers: list[Layer] = [Line([0, 1, 0.5, 0], [0, 0, HEIGHT, 0], "", edge)]
    sides = ("bottom", "bottom", "top")
    for corner, (name, side) in enumerate(zip(names, sides, strict=True)):
        shares = [float(i == corner) for i in range(3)]
        layers.append(Text(*corner_xy(shares), f"all {name}", side))
    if places:
        x, y = zip(*map(corner_xy, places), strict=True)
        dots = Style("#bbbbbb")
        layers.append(Points(x, y, PLACES, dots, size=6))
    if nash is not None:
        look = Style(BLACK, role("exact").dash, "x")
        x, y = corner_xy(nash)
        layers.append(Points([x], [y], goal, look, size=11))
    # stable: the curves keep their order, and the last one lies on top
    ordered = trajectories.sort_values("step", kind="stable")
    paths = ordered.groupby("curve", sort=False)
    for i, (key, path) in enumerate(paths):
        look = method(str(key)) if key in METHODS else series(i)
        xy = [corner_xy(row) for row in path[list(names)].to_numpy()]
        x, y = [p[0] for p in xy], [p[1] for p in xy]
        layers.append(Line(x, y, str(key), look))
        layers.append(Points(x[:1], y[:1], "", Style(GREY, marker="square"), size=5))
        layers.append(Points(x[-1:], y[-1:], "", look, size=6))
    limits = {"x_range": (-0.25, 1.25), "y_range": (-0.12, HEIGHT + 0.12)}
    remark = "grey square: start; marker: end"
    chart = Chart(title, "", "", layers, remark, bare=True, **limits)
    return Fig(Panels([chart], height=3.7), caption, trajectories)
