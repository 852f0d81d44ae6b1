"""The stop explorer: where several runs stand at one step, and what stopping gives.

A number that one can see while training, the loss, stands beside one that nobody sees
outside an exact world, the gold reward.
"""

import pandas as pd

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import Layer, Line, Points, VLine
from workbench.views.style import GREY, Style, role, series

ROOT = "√KL(π‖π_ref) (√nats)"


def means(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean gold and loss of the runs at each step, by rising step.

    Args:
        curves: DataFrame[seed, step, kl, gold, loss], several runs at the same steps.
    """
    return curves.groupby("step")[["gold", "loss"]].mean().sort_index()


def _thin(runs: pd.DataFrame) -> list[Layer]:
    """A pale line for each run."""
    paths = [run.sort_values("step") for _, run in runs.groupby("seed")]
    style = role("gold")
    return [
        Line(
            run["root"].tolist(),
            run["gold"].tolist(),
            "" if i else "each run",
            style,
            faint=True,
        )
        for i, run in enumerate(paths)
    ]


def stop_figure(curves: pd.DataFrame, exact: pd.DataFrame | None, step: int) -> Fig:
    """Three panels: gold against √KL, and gold and loss against the step.

    Args:
        curves: as for ``means``.
        exact: DataFrame[kl, gold], the most gold for each KL; left out if None.
        step: where the runs are stopped, one of those in `curves`.
    """
    runs = curves.assign(root=curves["kl"].clip(lower=0) ** 0.5)
    here, mean = runs[runs["step"] == step], means(curves)
    left = _thin(runs[runs["step"] <= step])
    if exact is not None:
        roots = (exact["kl"].clip(lower=0) ** 0.5).tolist()
        best = Line(roots, exact["gold"].tolist(), "most gold possible", role("exact"))
        left.insert(0, best)
    dots = here["root"].tolist(), here["gold"].tolist(), f"at step {step}"
    left.append(Points(*dots, role("gold"), size=7))
    # axes that stand still while the runs grow
    ends = {"x_range": (0.0, 1.05 * runs["root"].max())}
    charts = [Chart("Gold against drift", ROOT, "gold (reward units)", left, **ends)]
    now = VLine(step, "this step", Style(GREY, "dot"))
    kinds = {
        "gold": ("Gold", "gold (reward units)", role("gold")),
        "loss": ("Training loss", "training loss (nats)", series(0)),
    }
    for column, (head, unit, style) in kinds.items():
        bold = mean[column].dropna()
        middle = Line(bold.index.tolist(), bold.tolist(), "mean", style)
        layers = [now, middle]
        charts.append(Chart(head, "step", unit, layers))
    end, peak = mean.index[-1], mean["gold"].idxmax()
    more = mean["gold"][step] - mean["gold"][end]
    than = f", {abs(more):.2f} {'more' if more >= 0 else 'less'} than at step {end}"
    told = (
        f"Stopped at step {step} the runs have a gold of {mean['gold'][step]:.2f} on "
        f"average{'' if step == end else than}; the most, {mean['gold'][peak]:.2f}, is "
        f"at step {peak}."
    )
    if pd.notna(mean["loss"][step]) and step != end:
        told += (
            f" The mean loss goes from {mean['loss'][step]:.2f} here to "
            f"{mean['loss'][end]:.2f} at step {end}."
        )
    return Fig(Panels(charts, height=3.4), told, mean.reset_index())


def stop_explorer(
    curves: pd.DataFrame,
    exact: pd.DataFrame | None = None,
    *,
    step: int | None = None,
    live: bool | None = None,
) -> Instrument:
    """Several runs stopped at a step that slides, or plays.

    Args:
        curves: as for ``means``.
        exact: DataFrame[kl, gold], the most gold for each KL; left out if None.
        step: where the slider starts; the step with the highest mean gold if None.
        live: True, False, or None to ask the surroundings.
    """
    steps = [int(at) for at in means(curves).index]
    start = int(means(curves)["gold"].idxmax()) if step is None else step

    def draw(step: int) -> Fig:
        return stop_figure(curves, exact, step)

    controls = {"step": Slider("stop at step", steps, start, play=True)}
    return Instrument("Stop explorer", draw, controls, live, computed_by=means)
