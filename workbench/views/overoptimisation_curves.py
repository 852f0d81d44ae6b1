"""Gold and proxy reward against the distance from the reference."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from workbench.views.aggregate import need, note, seeds, summary
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Band, Layer, Line, Points
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
    spread: str = "range",
    title: str = "Overoptimisation",
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
        by: the column along each curve that is the same in all seeds (step, n, beta);
            seeds are averaged at equal values of it, KL included. A curve without
            it is drawn in the order of its rows.
        spread: what the band over seeds is, "range" or "interval".
        title: heading.
    """
    need(curves, "kl", "gold", "proxy")
    layers: list[Layer] = []
    if exact is not None:
        path = exact.sort_values("kl")
        look = role("exact")
        layers.append(
            Line(_root(path["kl"]), path["gold"].tolist(), "exact frontier", look)
        )
    groups = _groups(curves)
    for i, (name, group) in enumerate(groups.items()):
        for reward in ("proxy", "gold"):
            look = role(reward) if len(groups) == 1 else series(i, role(reward))
            label = f"{reward}, {name}" if name else reward
            layers += _curve(group, by, reward, label, look, spread)
    layers += _laws(laws or {}, start, float(curves["kl"].max()))
    chart = Chart(title, ROOT, REWARD, layers, note(curves, spread))
    return Fig(Panels([chart], height=3.6), caption, curves)


def frontier(
    points: pd.DataFrame, exact: pd.DataFrame, *, caption: str, root: bool = False
) -> Fig:
    """Methods as points under the exact frontier, which none can pass.

    Args:
        points: DataFrame[method, kl, gold], a row a seed; nats and reward units.
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
    said = "small and pale: single seeds" if points["method"].duplicated().any() else ""
    title = "Gold reward bought with drift"
    chart = Chart(title, x_label, "gold reward (reward units)", layers, said)
    return Fig(Panels([chart], height=3.6), caption, points)


def _root(kl: pd.Series) -> list[float]:
    return np.sqrt(kl.clip(lower=0).to_numpy(dtype=float)).tolist()


def _groups(curves: pd.DataFrame) -> dict[str, pd.DataFrame]:
    if "curve" not in curves.columns:
        return {"": curves}
    return {str(name): group for name, group in curves.groupby("curve", sort=False)}


def _curve(
    group: pd.DataFrame, by: str, reward: str, label: str, look: Style, spread: str
) -> list[Layer]:
    if seeds(group) < 2:
        path = group.sort_values(by) if by in group.columns else group
        few, y = len(path) <= FEW, path[reward].tolist()
        return [Line(_root(path["kl"]), y, label, look, markers=few)]
    at = summary(group, by, "kl", spread)["mean"]
    table = summary(group, by, reward, spread)
    x = _root(at)
    band = Band(x, table["low"].tolist(), table["high"].tolist(), look)
    return [band, Line(x, table["mean"].tolist(), label, look)]


def _laws(laws: Mapping[str, Law], start: float | int, furthest: float) -> list[Layer]:
    # The RL law has log d: start a little right of 0.
    d = np.linspace(0.02, 1.0, 50) * np.sqrt(furthest)
    return [
        Line(d.tolist(), (start + np.asarray(law(d), float)).tolist(), name, look)
        for i, (name, law) in enumerate(laws.items())
        for look in [series(i, role("law")) if len(laws) > 1 else role("law")]
    ]
