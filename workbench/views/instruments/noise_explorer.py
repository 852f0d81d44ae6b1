"""The noise explorer: where margins rest if labels are flipped, and if one guesses how.

A flip multiplies p − ½ by 1 − 2ε. DPO fits what is left, cDPO multiplies once more by
1 − 2ε′ and rDPO divides by it, where ε′ is the flip rate that the loss is told.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import Bars, Line
from workbench.views.style import looks, role
from workbench.worlds import flipped_labels, solutions

RATES = tuple(round(0.01 * i, 2) for i in range(46))  # 0 to 0.45
CLEAN = torch.linspace(0, 4, 81).double()  # clean margins, reward units
TOP = 5.0  # of the panel with margins
SHOWN = 2.0  # the clean margin that the caption speaks of
NAMES = {"dpo": "DPO", "cdpo": "cDPO", "rdpo": "rDPO"}
One = Float[Tensor, " response"]


def signal_kept(flip: float, assumed: float) -> dict[str, float]:
    """What p − ½ is multiplied by in the probability that each loss fits.

    Args:
        flip: ε, the true flip rate, below ½.
        assumed: ε′, the rate that cDPO and rDPO are told, below ½.
    """
    seen, told = 1 - 2 * flip, 1 - 2 * assumed
    return {"dpo": seen, "cdpo": told * seen, "rdpo": seen / told}


def rests(clean: Float[Tensor, " pair"], kept: float) -> Float[Tensor, " pair"]:
    """Where a pair alone comes to rest: log-odds of ½ + kept·(p − ½).

    Args:
        clean: where it rests on clean labels, the difference of rewards.
        kept: one value of ``signal_kept``.

    Returns:
        margins βD, reward units; NaN where the loss has no minimum.
    """
    fitted = 0.5 + kept * (clean.sigmoid() - 0.5)
    return torch.where(fitted < 1, fitted.logit(), torch.nan)


def _bars(
    ref: One, reward: One, names: Sequence[str], beta: float, kept: dict[str, float]
) -> tuple[list[Bars], pd.DataFrame]:
    """π* and the minimiser of each loss that has one, as bars and as a table."""
    ends = {"π*, clean labels": solutions.optimal_policy(ref, reward, beta)}
    for key, factor in kept.items():
        if factor <= 1:
            least = flipped_labels.dpo_minimiser(ref, reward, beta, factor)
            ends[NAMES[key]] = least
    styles = {"π*, clean labels": role("exact")}
    styles |= {NAMES[key]: style for key, style in looks(kept).items()}
    shares = {name: end.exp().tolist() for name, end in ends.items()}
    bars = [Bars(names, y, name, styles[name]) for name, y in shares.items()]
    return bars, pd.DataFrame({"response": list(names), **shares})


def noise_figure(
    ref: One,
    reward: One,
    names: Sequence[str],
    beta: float,
    flip: float,
    assumed: float,
) -> Fig:
    """Two panels: margins at rest against clean ones, and the policies at rest.

    Args:
        ref: log π_ref of a few responses to one prompt.
        reward: of the same responses, reward units.
        names: of the same responses.
        beta: reward units per nat.
        flip: ε, the true flip rate.
        assumed: ε′, the rate that cDPO and rDPO are told.
    """
    kept = signal_kept(flip, assumed)
    lines = [Line(CLEAN.tolist(), CLEAN.tolist(), "clean labels", role("exact"))]
    for key, style in looks(kept).items():
        across, up = CLEAN, rests(CLEAN, kept[key])
        if kept[key] > 1:  # the curve ends at a pole: draw it from its heights
            up = CLEAN * TOP / CLEAN[-1]
            across = rests(up, 1 / kept[key])
        lines.append(Line(across.tolist(), up.tolist(), NAMES[key], style))
    bars, table = _bars(ref, reward, names, beta, kept)
    axes = "difference of rewards (reward units)", "βD at rest (reward units)"
    ends = {"x_range": (0.0, CLEAN[-1].item()), "y_range": (0.0, TOP)}
    charts = [
        Chart("Where a pair comes to rest", *axes, lines, **ends),
        Chart("The policy at rest", "", "probability", bars, y_range=(0.0, 1.0)),
    ]
    at = {k: rests(torch.tensor([SHOWN]).double(), t).item() for k, t in kept.items()}
    places = {k: "nowhere" if m != m else f"at {m:.2f}" for k, m in at.items()}
    told = (
        f"With a flip rate of {flip:g}, and {assumed:g} assumed, a pair that differs "
        f"by {SHOWN:g} rests {places['dpo']} under DPO, {places['cdpo']} under cDPO "
        f"and {places['rdpo']} under rDPO."
    )
    if kept["rdpo"] > 1:
        told += " rDPO corrects more than was flipped: clear winners have no minimum."
    return Fig(Panels(charts), told, table)


def noise_explorer(
    ref: One,
    reward: One,
    names: Sequence[str],
    *,
    flip: float = 0.2,
    assumed: float = 0.2,
    beta: float | int = 1.0,
    live: bool | None = None,
) -> Instrument:
    """Margins and policies at rest, as the true and the assumed flip rate slide.

    Args:
        ref: log π_ref of a few responses to one prompt, which need not sum to 1.
        reward: of the same responses, reward units.
        names: of the same responses.
        flip, assumed: where the sliders start, two of ``RATES``.
        beta: reward units per nat.
        live: True, False, or None to ask the surroundings.
    """
    these = ref.detach().double().log_softmax(-1), reward.double(), names, float(beta)

    def draw(flip: float, assumed: float) -> Fig:
        return noise_figure(*these, flip, assumed)

    few = {"coarse": RATES[::10]}
    controls = {
        "flip": Slider("true flip rate", RATES, flip, **few),
        "assumed": Slider("assumed rate", RATES, assumed, **few),
    }
    return Instrument("Noise explorer", draw, controls, live, computed_by=rests)
