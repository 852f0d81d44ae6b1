"""KL drift from the reference: exact along training, estimators beside it."""

import numpy as np
import pandas as pd

from workbench.views.aggregate import curve, need, note, seeds
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import HLine, Layer, Points
from workbench.views.style import role, series

UNIT = "KL(π‖π_ref) (nats per sequence)"


def kl_drift(
    frame: pd.DataFrame,
    *,
    caption: str,
    estimates: pd.DataFrame | None = None,
    x: str = "step",
    spread: str = "range",
    label: str = "policy, over all responses",
) -> Fig:
    """How far the policy is from the reference.

    Args:
        frame: DataFrame[seed, step, kl], nats per sequence.
        caption: one sentence that could be false.
        estimates: DataFrame[seed, estimator, mean, low, high, n, exact] of one
            step, as `measure.drift.estimates` gives it; drawn around the exact value.
        x: column on the x axis.
        spread: what the band over seeds is, "range" or "interval".
        label: how the KL of the frame was found.
    """
    need(frame, x, "kl")
    lines = [
        HLine(0.0),
        *curve(frame, x, "kl", label, role("policy"), spread),
    ]
    charts = [Chart("Drift from the reference", x, UNIT, lines, note(frame, spread))]
    if estimates is not None:
        charts.append(estimate_chart(estimates))
    return Fig(Panels(charts), caption, frame if estimates is None else estimates)


def estimate_chart(estimates: pd.DataFrame) -> Chart:
    """Estimators as points with error bars around the exact value (dashed).

    With several seeds, each has its own exact value: the differences are drawn.
    """
    need(estimates, "estimator", "mean", "low", "high", "n")
    names = list(dict.fromkeys(estimates["estimator"]))
    count = seeds(estimates)
    known = "exact" in estimates.columns
    away = known and count > 1
    layers: list[Layer] = []
    if known:
        truth = 0.0 if away else float(estimates["exact"].iloc[0])
        layers.append(HLine(truth, "exact KL", role("exact")))
    for i, name in enumerate(names):
        rows = estimates[estimates["estimator"] == name]
        shift = rows["exact"] if away else 0.0
        mean, low, high = (rows[k] - shift for k in ("mean", "low", "high"))
        x = np.linspace(-0.2, 0.2, len(rows)) + i if len(rows) > 1 else [float(i)]
        ends = {"low": low.tolist(), "high": high.tolist()}
        layers.append(Points(list(map(float, x)), mean.tolist(), "", series(i), **ends))
    remark = f"error bars: 95 % intervals, {int(estimates['n'].iloc[0])} samples"
    remark += f"; {count} seeds" if count > 1 else ""
    title = "Estimates minus the exact value" if away else "Estimates of the same KL"
    unit = "estimate − exact KL (nats per sequence)" if away else UNIT
    return Chart(
        title, "estimator", unit, layers, remark, x_names=tuple(map(str, names))
    )
