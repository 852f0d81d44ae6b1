"""The divergence explorer: how far π* raises a response, against its reward.

With u = π*/π_ref the optimum of E_π[r] − β D_f has r = β f′(u) + λ: the divergence
decides whether u grows exponentially with the reward, in a line, or up to a pole.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from workbench.core.divergences import CHI2_KL, FORWARD_KL, REVERSE_KL
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Choice, powers
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import HLine, Line
from workbench.views.style import looks
from workbench.worlds import solutions

SMALLEST, LARGEST = 0.1, 10.0
TOP = 8.0  # of the panel with a linear scale
PURE = "pure χ²"
Table = Float[Tensor, "prompt response"]


def divergence_explorer(
    world,
    ref_logps: Table,
    reward: Table,
    *,
    beta: float | int,
    live: bool | None = None,
) -> Instrument:
    """π*/π_ref against the reward under four divergences, with a slider for β.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref of every response, nats.
        reward: reward units.
        beta: where the slider starts, reward units per unit of the divergence.
        live: True, False, or None to ask the surroundings.
    """

    def draw(beta: float | int, prompt: str) -> Fig:
        place = world.prompts.index(prompt)
        return divergence_figure(ref_logps[place], reward[place], beta)

    ends = {"low": SMALLEST, "high": LARGEST}
    controls = {
        "beta": powers("β (log scale)", beta, **ends, each=50, coarse=2),
        "prompt": Choice("reviews of", world.prompts, world.prompts[0]),
    }
    return Instrument("Divergence explorer", draw, controls, live, computed_by=ratios)


def ratios(ref_logps: Tensor, reward: Tensor, beta: float | int) -> pd.DataFrame:
    """u = π*/π_ref at each reward that occurs, a column per divergence.

    Args:
        ref_logps: log π_ref of every response to one prompt.
        reward: of each response.
        beta: reward units per unit of the divergence.

    Returns:
        DataFrame[reward, one column per divergence], by rising reward.
    """
    ref, gain = ref_logps.detach().double(), reward.double()
    kinds = REVERSE_KL, CHI2_KL, FORWARD_KL
    optima = {f.name: solutions.optimal_policy_f(ref, gain, beta, f) for f in kinds}
    optima[PURE] = solutions.optimal_policy_chi2(ref, gain, beta)
    # u depends on the response through its reward alone: each reward counts once
    at, first = np.unique(gain.numpy(), return_index=True)
    columns = {name: (p - ref).exp().numpy()[first] for name, p in optima.items()}
    return pd.DataFrame({"reward": at, **columns})


def divergence_figure(ref_logps: Tensor, reward: Tensor, beta: float | int) -> Fig:
    """Two panels: u on a logarithmic and on a linear scale, against the reward.

    Args: those of ``ratios``.
    """
    frame = ratios(ref_logps, reward, beta)
    # every second reward level is as smooth to the eye, and half as long in a page
    few = frame.iloc[::-2].iloc[::-1]
    x, names = few["reward"].tolist(), list(frame.columns[1:])
    linear, logarithmic = [HLine(1.0)], [HLine(1.0)]
    for name, style in looks(names).items():
        u = few[name]
        linear.append(Line(x, u.clip(upper=1.5 * TOP).tolist(), name, style))
        logarithmic.append(Line(x, u.where(u > 0).tolist(), name, style))
    axes, unit = "reward (reward units)", "π*/π_ref"
    charts = [
        Chart("On a linear scale", axes, unit, linear, y_range=(0.0, TOP)),
        Chart("On a logarithmic scale", axes, unit, logarithmic, y_log=True),
    ]
    best = frame.iloc[-1]
    told = ", ".join(f"{best[name]:.3g} under {name}" for name in names)
    said = f"At β = {beta:.3g} the best review rises by a factor {told}."
    return Fig(Panels(charts, "How far a response rises"), said, frame)
