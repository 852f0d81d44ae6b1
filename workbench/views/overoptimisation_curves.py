"""Gold and proxy reward against the distance from the reference."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from workbench.views.aggregate import need, seeds
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Layer, Line, Points, VLine
from workbench.views.style import Style, looks, role, series

ROOT = "√KL(π‖π_ref) (√nats)"
REWARD = "reward (reward units)"
FEW = 20  # points of a curve that are marked one by one
Law = Callable[[np.ndarray], np.ndarray]


def overoptimisation(
    curves: pd.DataFrame,
    *,
    caption: str,
    laws: Mapping[str, Law] | None = None,
    start: float | int = 0.0,
    exact: pd.DataFrame | None = None,
    by: str = "step",
    title: str = "Overoptimisation",
    others: Sequence[pd.DataFrame] = (),
    peak: float | int | None = None,
    rewards: Sequence[str] = ("proxy", "gold"),
) -> Fig:
    """Gold and proxy reward against √KL: where the proxy rises and gold falls.

    Args:
        curves: DataFrame[kl, gold, proxy] in nats and reward units; column `curve`
            tells several curves apart, `seed` several seeds of one curve.
        caption: one sentence that could be false.
        laws: name to fitted law (`measure.laws.Fit`): gold above the reference's as
            a function of d = √KL.
        start: the reference's gold reward, added to the laws.
        exact: DataFrame[kl, gold] of the exact frontier, drawn dashed in black.
        by: the column along each run (step, n, beta). A curve without it is drawn in
            the order of its rows.
        title: heading.
        others: more paths with the columns of `curves`, such as those of other
            proxies, of which gold is drawn, thin.
        rewards: which of proxy and gold are drawn.
        peak: KL in nats where a vertical line says that gold is highest.

    Several seeds of a curve reach different KL at the same step, so their mean by step
    would be no function of the KL: each run is drawn thin, the median at equal KL bold.
    """
    need(curves, "kl", "gold", "proxy")
    layers: list[Layer] = [
        Line(_root(o["kl"]), o["gold"].tolist(), "", role("gold"), faint=True)
        for o in others
    ]
    if exact is not None:
        path = exact.sort_values("kl")
        look = role("exact")
        layers.append(
            Line(_root(path["kl"]), path["gold"].tolist(), "exact frontier", look)
        )
    groups = _groups(curves)
    for i, (name, group) in enumerate(groups.items()):
        for reward in rewards:
            look = role(reward) if len(groups) == 1 else series(i, role(reward))
            label = f"{reward}, {name}" if name else reward
            layers += _curve(group, by, reward, label, look)
    layers += _laws(laws or {}, start, float(curves["kl"].max()))
    if peak is not None:
        layers.append(VLine(float(np.sqrt(max(peak, 0.0))), "gold is highest"))
    count = seeds(curves)
    note = f"thin: {count} seeds; bold: their median" if count > 1 else ""
    note = f"thin: gold of {len(others)} others" if len(others) else note
    chart = Chart(title, ROOT, REWARD, layers, note)
    return Fig(Panels([chart], height=3.6), caption, curves)


def frontier(
    points: pd.DataFrame, exact: pd.DataFrame, *, caption: str, root: bool = False
) -> Fig:
    """Methods as points under the exact frontier, which none can pass.

    Args:
        points: DataFrame[method, kl, gold], one row per seed; nats and reward units.
        exact: DataFrame[kl, gold], the best gold reward at each KL.
        caption: one sentence that could be false.
        root: √KL on the x axis instead of KL.
    """
    need(points, "method", "kl", "gold")
    need(exact, "kl", "gold")
    scale = _root if root else (lambda values: values.astype(float).tolist())
    path = exact.sort_values("kl")
    line = Line(
        scale(path["kl"]), path["gold"].tolist(), "exact frontier", role("exact")
    )
    layers: list[Layer] = [line]
    styles = looks(map(str, points["method"]))
    for key, group in points.groupby("method", sort=False):
        style, one = styles[str(key)], len(group) == 1
        x, y = scale(group["kl"]), group["gold"].tolist()
        if not one:
            layers.append(Points(x, y, "", style, size=5, faint=True))
        centre = [float(np.mean(x))], [float(np.mean(y))]
        layers.append(Points(*centre, str(key), style, size=8))
    x_label = ROOT if root else "KL(π‖π_ref) (nats per sequence)"
    remark = (
        "small and pale: single seeds" if points["method"].duplicated().any() else ""
    )
    title = "Gold reward bought with drift"
    chart = Chart(title, x_label, "gold reward (reward units)", layers, remark)
    return Fig(Panels([chart], height=3.6), caption, points)


def _root(kl: pd.Series) -> list[float]:
    return np.sqrt(kl.clip(lower=0).to_numpy(dtype=float)).tolist()


def _groups(curves: pd.DataFrame) -> dict[str, pd.DataFrame]:
    if "curve" not in curves.columns:
        return {"": curves}
    return {str(name): group for name, group in curves.groupby("curve", sort=False)}


def _curve(
    group: pd.DataFrame, by: str, reward: str, label: str, look: Style
) -> list[Layer]:
    """One run as it is; of several, each run thin and pale and their median bold."""
    if seeds(group) < 2:
        path = group.sort_values(by) if by in group.columns else group
        few, y = len(path) <= FEW, path[reward].tolist()
        return [Line(_root(path["kl"]), y, label, look, markers=few)]
    runs = [run.sort_values(by) for _, run in group.groupby("seed")]
    thin = [
        Line(_root(r["kl"]), r[reward].astype(float).tolist(), "", look, faint=True)
        for r in runs
    ]
    x, y = _median([(_root(r["kl"]), r[reward].astype(float).tolist()) for r in runs])
    return [*thin, Line(x, y, label, look)]


def _median(runs: list[tuple[list[float], list[float]]]) -> tuple[list, list]:
    """The median over runs of y at equal x, as far as half of the runs reach.

    A run's x may turn back: only where it goes further than before does it count, so
    that the median is a function of x. A run that ends where x is smallest, as one
    along rising β does, is read from its end.
    """
    ahead = []
    for x, y in runs:
        if x[0] > x[-1]:
            x, y = x[::-1], y[::-1]
        best = np.maximum.accumulate(x)
        new = np.concatenate([[True], best[1:] > best[:-1]])
        ahead.append((np.asarray(x)[new], np.asarray(y)[new]))
    grid = np.linspace(
        min(x[0] for x, _ in ahead), float(np.median([x[-1] for x, _ in ahead])), 60
    )
    table = [np.interp(grid, x, y, left=np.nan, right=np.nan) for x, y in ahead]
    kept = np.isfinite(table).sum(0) * 2 >= len(ahead)
    return grid[kept].tolist(), np.nanmedian(np.array(table)[:, kept], 0).tolist()


def _laws(laws: Mapping[str, Law], start: float | int, furthest: float) -> list[Layer]:
    # The RL law has log d: start a little right of 0.
    d = np.linspace(0.02, 1.0, 50) * np.sqrt(furthest)
    return [
        Line(d.tolist(), (start + np.asarray(law(d), float)).tolist(), name, look)
        for i, (name, law) in enumerate(laws.items())
        for look in [series(i, role("fitted")) if len(laws) > 1 else role("fitted")]
    ]
