"""Gold reward over KL: exact curves in black, learned ones in colour."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from workbench.views.aggregate import need
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Layer, Line, Points, Text
from workbench.views.style import Style, method, role, series

MOST = 2.5  # nats that are drawn


def gold_curves(
    frontier: pd.DataFrame,
    *,
    exact: Mapping[str, pd.DataFrame],
    learned: Mapping[str, pd.DataFrame],
    best_of_n: pd.DataFrame,
    caption: str,
    along: str = "strength",
    most: float = MOST,
) -> Fig:
    """Ways of decoding under the exact frontier, which none can pass.

    Args:
        frontier: DataFrame[kl, gold], drawn dashed in black.
        exact: label to DataFrame[kl, gold] of exact curves, drawn dotted in black.
        learned: label to DataFrame[seed, kl, gold] and the column ``along``; each seed
            is drawn thin and the median at equal ``along`` bold.
        best_of_n: DataFrame[n, kl, gold], drawn as points with their n.
        caption: one sentence that could be false.
        along: what moves along a learned curve.
        most: nats up to which curves are drawn.
    """
    black = role("exact")
    layers: list[Layer] = [_line(frontier, "exact frontier", black, most)]
    for i, (name, path) in enumerate(exact.items(), start=1):
        layers.append(_line(path, name, series(i, black), most))
    for i, (name, paths) in enumerate(learned.items()):
        look = method("vas") if not i else series(i)
        for _, one in paths.groupby("seed"):
            layers.append(_line(one, "", look, most, faint=True))
        middle = paths.groupby(along)[["kl", "gold"]].median()
        layers.append(_line(middle, f"{name}, median of seeds", look, most))
    need(best_of_n, "n", "kl", "gold")
    few = best_of_n[best_of_n["kl"] < most]
    xy = few["kl"].tolist(), few["gold"].tolist()
    layers.append(Points(*xy, "best-of-n, exact", method("best_of_n")))
    for n, x, y in zip(few["n"], *xy, strict=True):
        # above the frontier, where no curve can be
        layers.append(Text(x - 0.02 * most, y, f"n = {n:.0f}", "left"))
    axes = ("KL(π‖π_ref) (nats per sequence)", "gold reward (reward units)")
    chart = Chart("Gold reward bought with drift", *axes, layers, "thin: single seeds")
    every = [frame.assign(curve=name) for name, frame in {**exact, **learned}.items()]
    return Fig(Panels([chart], height=3.8), caption, pd.concat(every))


def _line(
    path: pd.DataFrame, label: str, look: Style, most: float, faint: bool = False
) -> Line:
    need(path, "kl", "gold")
    path = path.sort_values("kl")
    x, y = path["kl"].tolist(), path["gold"].tolist()
    kept = [kl for kl in x if kl < most]
    if len(kept) < len(x):  # end at the edge, not at the last point before it
        kept.append(most)
    return Line(kept, np.interp(kept, x, y).tolist(), label, look, faint=faint)
