"""Many methods as points under the exact frontier: the arena."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from workbench.views.aggregate import SPREADS, need, seeds, summary
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.label_placement import Sheet, place
from workbench.views.layers import Layer, Line, Points
from workbench.views.style import DATA, looks, role

HEIGHT = 4.4  # inches


def points(
    frame: pd.DataFrame,
    exact: pd.DataFrame | None,
    by: str | None = "data",
    *,
    caption: str,
    labels: int = 12,
    always: Sequence[str] = (),
    root: bool = False,
    title: str = "Gold reward bought with drift",
    spread: str = "range",
) -> Fig:
    """Every method's mean KL and gold reward, coloured by what it learns from.

    Names stand beside the outer points where there is room (`outer` is the order);
    the live figure shows the others under the pointer.

    Args:
        frame: DataFrame[method, kl, gold], one row per seed; nats and reward units.
        exact: DataFrame[kl, gold], the best gold reward at each KL
            (`worlds.exact.frontier`), drawn dashed; None draws none.
        by: column that gives a point its colour, the same for all rows of a method;
            the kinds in `style.DATA` keep their look. None: one colour.
        caption: one sentence that could be false.
        labels: names at most that are printed.
        always: methods that are named first.
        root: √KL on the x axis instead of KL; spreads out what hardly moved.
        title: heading.
        spread: what the error bars of gold over seeds are, "range" or "interval".
    """
    need(frame, "method", "kl", "gold", *([by] if by else []))
    table = means(frame, by, spread)
    scale = np.sqrt if root else np.asarray
    table["x"] = scale(table["kl"].clip(lower=0).to_numpy(dtype=float))
    path, layers = ([], []), []
    if exact is not None:
        need(exact, "kl", "gold")
        path = _path(exact, scale, float(table["x"].max()))
        layers.append(Line(*path, "exact frontier", role("exact")))
    marks = _marks(table)
    sheet = _sheet(table, path)
    named = [(name, _spot(table, name)) for name in outer(table, always)]
    on_path = list(zip(*path, strict=True))
    texts = place(named, sheet, limit=labels, around=on_path)
    wide = "√KL(π‖π_ref) (√nats)" if root else "KL(π‖π_ref) (nats per sequence)"
    limits = {"x_range": sheet.x_range, "y_range": sheet.y_range}
    several = seeds(frame) > 1
    remark = (
        f"error bars: {SPREADS[spread]} over {seeds(frame)} seeds" if several else ""
    )
    layers += [*texts, *marks]  # leader lines lie under the points
    chart = Chart(title, wide, "gold reward (reward units)", layers, remark, **limits)
    return Fig(Panels([chart], height=HEIGHT), caption, table.drop(columns="x"))


def means(frame: pd.DataFrame, by: str | None, spread: str = "range") -> pd.DataFrame:
    """One row per method, best gold first: mean KL and gold, and the ends of gold.

    Returns:
        DataFrame[method, kind, kl, gold, low, high].
    """
    gold = summary(frame, "method", "gold", spread).set_index("method")
    kl = summary(frame, "method", "kl", spread).set_index("method")["mean"]
    kinds = frame.groupby("method")[by].first() if by else ""
    table = gold.rename(columns={"mean": "gold"}).assign(kl=kl, kind=kinds)
    table = table.reset_index()[["method", "kind", "kl", "gold", "low", "high"]]
    return table.sort_values("gold", ascending=False, ignore_index=True)


def outer(table: pd.DataFrame, always: Sequence[str] = ()) -> list[str]:
    """Methods in the order in which they earn a label.

    Those of `always`; the furthest and the worst; those that no other beats in both
    gold and KL, from the highest gold down; then the rest by gold.
    """
    ranked = table.sort_values("gold", ascending=False)
    lowest = ranked["kl"].cummin().shift(fill_value=np.inf)
    best = ranked.loc[ranked["kl"] < lowest, "method"]
    ends = [
        table.loc[table["kl"].idxmax(), "method"],
        table.loc[table["gold"].idxmin(), "method"],
    ]
    known = set(table["method"])
    chosen = [name for name in always if name in known]
    return list(dict.fromkeys([*chosen, *ends, *best, *ranked["method"]]))


def _path(exact: pd.DataFrame, scale, last: float) -> tuple[list[float], list[float]]:
    """The frontier as far as a little beyond the last method."""
    path = exact.sort_values("kl")
    x = scale(path["kl"].clip(lower=0).to_numpy(dtype=float))
    y = path["gold"].to_numpy(dtype=float)
    at = np.linspace(x[0], min(x[-1], 1.15 * last), 80)
    return at.tolist(), np.interp(at, x, y).tolist()


def _marks(table: pd.DataFrame) -> list[Layer]:
    """One layer per kind of data, those of `DATA` in its order."""
    kinds = list(dict.fromkeys(table["kind"]))
    kinds = [k for k in DATA if k in kinds] + [k for k in kinds if k not in DATA]
    layers: list[Layer] = []
    for kind, style in looks(map(str, kinds)).items():
        rows = table[table["kind"].astype(str) == kind]
        wide = bool((rows["high"] > rows["low"]).any())
        ends = {k: rows[k].tolist() for k in ("low", "high")} if wide else {}
        xy = rows["x"].tolist(), rows["gold"].tolist()
        hover = rows["method"].astype(str).tolist()
        layers.append(Points(*xy, kind, style, hover=hover, size=6, **ends))
    return layers


def _sheet(table: pd.DataFrame, path: tuple[list[float], list[float]]) -> Sheet:
    """Axes that hold all points and the frontier above them."""
    across = [0.0, *table["x"], *path[0]]
    up = [*table["low"], *table["high"], *path[1]]
    wide, high = (max(v) - min(v) or 1.0 for v in (across, up))
    x_range = (min(across) - 0.03 * wide, max(across) + 0.05 * wide)
    y_range = (min(up) - 0.06 * high, max(up) + 0.06 * high)
    return Sheet(x_range, y_range, (5.2, HEIGHT - 0.7))


def _spot(table: pd.DataFrame, name: str) -> tuple[float, float]:
    row = table[table["method"] == name].iloc[0]
    return float(row["x"]), float(row["gold"])
