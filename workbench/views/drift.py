"""KL drift from the reference: exact along training, estimators beside it."""

import pandas as pd

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import HLine, Points
from workbench.views.spread import curve, need, note
from workbench.views.style import role, series

UNIT = "KL(π‖π_ref) (nats per sequence)"


def kl_drift(
    frame: pd.DataFrame,
    *,
    caption: str,
    estimates: pd.DataFrame | None = None,
    x: str = "step",
    spread: str = "range",
) -> Fig:
    """How far the policy is from the reference.

    Args:
        frame: DataFrame[seed, step, kl], nats per sequence, exact.
        caption: one sentence that could be false.
        estimates: DataFrame[estimator, mean, low, high, exact, n] at the end of
            training; drawn beside the exact value, error bars are 95 % intervals.
        x: column on the x axis.
        spread: what the band over seeds is, "range" or "interval".
    """
    need(frame, x, "kl")
    lines = [
        HLine(0.0),
        *curve(frame, x, "kl", "policy, over all responses", role("policy"), spread),
    ]
    charts = [Chart("Drift from the reference", x, UNIT, lines, note(frame, spread))]
    if estimates is not None:
        charts.append(estimate_chart(estimates))
    return Fig(Panels(charts), caption, frame if estimates is None else estimates)


def estimate_chart(estimates: pd.DataFrame) -> Chart:
    """Estimators as points with error bars around the exact value (dashed)."""
    need(estimates, "estimator", "mean", "low", "high", "exact")
    layers = [HLine(float(estimates["exact"].iloc[0]), "exact KL", role("exact"))]
    for i, (_, row) in enumerate(estimates.reset_index(drop=True).iterrows()):
        bar = {"low": [row["low"]], "high": [row["high"]]}
        layers.append(Points([i], [row["mean"]], "", series(i), **bar))
    samples = estimates["n"].iloc[0] if "n" in estimates.columns else None
    said = "error bars: 95 % intervals"
    said += "" if samples is None else f", {int(samples)} samples"
    names = tuple(map(str, estimates["estimator"]))
    title = "Estimators beside the exact value"
    return Chart(title, "estimator", UNIT, layers, said, x_names=names)
