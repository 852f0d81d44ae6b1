"""The peak explorer: gold and its covariance with the proxy, one line through both.

Along π*_β of a proxy, gold rises with 1/β as long as its covariance with the proxy,
under the policy of that moment, is positive: it is the slope of gold in 1/β.
"""

from functools import cache

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.beta_state import BETAS, beta_state
from workbench.views.instruments.controls import Choice, powers
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import Bars, HLine, Line, Points, VLine
from workbench.views.style import role
from workbench.worlds import solutions

TOP = 8
ROOT = "√KL(π*‖π_ref) (√nats)"
Table = Float[Tensor, "prompt response"]


def peak_explorer(
    world,
    ref_logps: Table,
    proxy: Table,
    *,
    beta: float | int,
    live: bool | None = None,
) -> Instrument:
    """Gold, its covariance with the proxy, and the reviews that π*_β likes most.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref of every response, nats.
        proxy: the reward that is optimised.
        beta: where the slider starts, reward units per nat; that of the peak is
            `measure.overoptimisation.peak_beta`.
        live: True, False, or None to ask the surroundings.
    """

    @cache
    def path() -> pd.DataFrame:
        return solutions.frontier(ref_logps.double(), proxy, world.gold, BETAS)

    def draw(beta: float | int, prompt: str) -> Fig:
        return peak_figure(world, ref_logps, proxy, beta, prompt, path())

    ends = {"low": BETAS[0], "high": BETAS[-1]}
    controls = {
        "beta": powers("β (log scale)", beta, **ends, each=50),
        "prompt": Choice("reviews of", world.prompts, world.prompts[0]),
    }
    return Instrument("Peak explorer", draw, controls, live, computed_by=peak_figure)


def peak_caption(gold: float, covariance: float, beta: float, highest: float) -> str:
    """One sentence about where gold stands and where it goes from here.

    Args:
        gold: of π*_β, reward units.
        covariance: of gold and proxy under π*_β, reward units².
        beta: reward units per nat.
        highest: the most gold that the whole path reaches.
    """
    if abs(covariance) < 0.005:
        says = "zero: here gold stands still"
    else:
        rises = covariance > 0
        says = f"{covariance:+.2f}: more optimisation {'raises' if rises else 'lowers'}"
        says += " gold"
    below = highest - gold
    where = f"{below:.2f} below the highest" if below >= 0.005 else "the highest"
    return (
        f"At β = {beta:.3g} gold is {gold:.2f}, {where} of the path, and its "
        f"covariance with the proxy is {says}."
    )


def peak_figure(
    world,
    ref_logps: Table,
    proxy: Table,
    beta: float | int,
    prompt: str,
    path: pd.DataFrame,
) -> Fig:
    """Three panels: gold, covariance, and likeliest reviews of one prompt.

    Args:
        world, ref_logps, proxy: as for :func:`peak_explorer`.
        beta: where the vertical line stands.
        prompt: whose reviews are listed; the curves are means over all prompts.
        path: `solutions.frontier` of the proxy over many β.
    """
    here = solutions.frontier(ref_logps.double(), proxy, world.gold, [beta]).iloc[0]
    root, at = (path["kl"].clip(lower=0) ** 0.5).tolist(), max(here["kl"], 0.0) ** 0.5
    line, rest = VLine(at, "π* of this β", role("exact")), HLine(0.0)
    curve = Line(root, path["gold"].tolist(), "gold", role("gold"))
    dot = Points([at], [here["gold"]], "", role("gold"), size=10)
    unit = "covariance (reward units²)"
    slope = Line(root, path["covariance"].tolist(), "covariance", role("policy"))
    top = beta_state(world, ref_logps, proxy, beta, prompt, TOP).top
    names = [
        f"{review} ({gold:+.2f})"
        for review, gold in zip(top["review"], top["gold"], strict=True)
    ]
    bars = [Bars(names, top["optimum"].tolist(), "π*", role("policy"))]
    charts = [
        Chart("Gold", ROOT, "gold (reward units)", [line, curve, dot]),
        Chart("Its covariance with the proxy", ROOT, unit, [rest, line, slope]),
        Chart(
            f"Favourite reviews, {prompt} (gold)", "probability", "", bars,
            horizontal=True,
        ),
    ]  # fmt: skip
    told = peak_caption(here["gold"], here["covariance"], beta, path["gold"].max())
    return Fig(Panels(charts, height=3.4), told, top)
