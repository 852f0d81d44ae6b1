"""The baseline explorer: the gradients of all groups as arrows, their mean and noise.

Three responses make a plane: a gradient in the logits has the sum 0, so two numbers
say where it points, and lengths and angles on the page are those of the gradient.
"""

from collections.abc import Sequence
from functools import partial
from math import sqrt

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.advantages import baseline, group_relative, leave_one_out
from workbench.measure import group_gradients
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Choice, Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import HLine, Line, Points, Text, VLine
from workbench.views.style import GREY, Style, role, series

BASELINES = tuple(round(-1 + 0.1 * i, 1) for i in range(41))  # reward units
K = 3  # responses in a group: ten different groups
NUMBER, OTHERS = "R − b", "R − mean of the others"
WAYS = {
    NUMBER: None,
    OTHERS: leave_one_out,
    "R − mean of the group": partial(group_relative, scale=False),
    "(R − group mean) ÷ deviation": group_relative,
}


def plane(gradient: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 2"]:
    """Gradients with the sum 0 as points of a page; lengths and angles are kept."""
    up, left, right = gradient.unbind(-1)
    return torch.stack(
        [(right - left) / sqrt(2), (2 * up - left - right) / sqrt(6)], -1
    )


def parabola(
    pi: Float[Tensor, "3"], rewards: Float[Tensor, "3"]
) -> Float[np.ndarray, "3"]:
    """Variance of a group's gradient as a polynomial in b, highest power first.

    A gradient is linear in b, so three values of b give it exactly.
    """
    at = (0.0, 1.0, 2.0)
    noise = [group_gradients.variance(pi, rewards - b, _bare, K) for b in at]
    return np.polyfit(at, noise, 2)


def _bare(rewards: Tensor, k: int) -> Tensor:
    return rewards


def group_arrows(
    pi: Float[Tensor, "3"], rewards: Float[Tensor, "3"], way: str, b: float
):
    """The gradient of every group of three, and its probability.

    Args:
        pi: probabilities of three responses.
        rewards: of the same responses, reward units.
        way: one of ``WAYS``, what is subtracted from a reward.
        b: the number that ``NUMBER`` subtracts, reward units.

    Returns:
        DataFrame[group, probability, x, y], a row per group in whatever order it was
        drawn; the mean gradient in the logits; its variance, summed over the logits.
    """
    how = WAYS[way] or (lambda values, k: baseline(values, b))
    gradient, chance = group_gradients.every_group(pi, rewards, how, K)
    mean = (chance * gradient).sum(0)
    noise = (chance * (gradient - mean) ** 2).sum().item()
    drawn = torch.cartesian_prod(*[torch.arange(3)] * K).sort(-1).values
    alike, which = drawn.unique(dim=0, return_inverse=True)
    total = torch.zeros(len(alike)).double().index_add(0, which, chance[:, 0])
    spots = torch.zeros(len(alike), 2).double()
    spots[which] = plane(gradient)  # the order in a group changes no gradient
    names = [" ".join("ABC"[i] for i in row) for row in alike.tolist()]
    columns = {"x": spots[:, 0].tolist(), "y": spots[:, 1].tolist()}
    columns = {"group": names, "probability": total.tolist()} | columns
    return pd.DataFrame(columns), mean, noise


def _arrows(groups: pd.DataFrame, mean: Tensor, rewards: Tensor) -> Chart:
    # no arrow of any b leaves the page
    reach = 1.1 * (rewards - BASELINES[0]).abs().max().item()
    layers, x, y = [], groups["x"].tolist(), groups["y"].tolist()
    for i, (right, up) in enumerate(plane(torch.eye(3).double() - 1 / 3).tolist()):
        to = (1.15 * reach * right, 1.15 * reach * up)
        layers.append(Line([0.0, to[0]], [0.0, to[1]], "", role("guide")))
        side = "bottom" if i else "top"
        layers.append(Text(*to, f"{'ABC'[i]} (reward {rewards[i]:g})", side))
    for across, up in zip(x, y, strict=True):
        layers.append(Line([0.0, across], [0.0, up], "", series(1), faint=True))
    layers.append(Points(x, y, "one possible group", series(1), size=5))
    x, y = plane(mean).tolist()
    layers.append(Line([0.0, x], [0.0, y], "mean of all groups", role("policy")))
    layers.append(Points([x], [y], "", role("policy"), size=9))
    place = {
        "x_range": (-1.1 * reach, 1.1 * reach),
        "y_range": (-0.7 * reach, 1.15 * reach),
    }
    head = "Gradients of all groups of three"
    return Chart(head, "", "", layers, bare=True, **place)


def baseline_figure(
    pi: Float[Tensor, "3"], rewards: Float[Tensor, "3"], way: str, b: float
) -> Fig:
    """Two panels: arrows of all groups, and their variance against b.

    Args: those of ``group_arrows``.
    """
    groups, mean, noise = group_arrows(pi, rewards, way, b)
    usual = group_arrows(pi, rewards, NUMBER, 0.0)[1]
    calm, curve = group_arrows(pi, rewards, OTHERS, b)[2], parabola(pi, rewards)
    heights, best = np.polyval(curve, BASELINES), -curve[1] / (2 * curve[0])
    layers = [
        Line(BASELINES, heights.tolist(), NUMBER, series(1)),
        HLine(calm, OTHERS, Style(series(2).colour, "dot")),
        VLine(b, "this b", Style(GREY, "dot")),
        Points([b], [noise], f"{way}, now", role("policy"), size=9),
    ]
    top = {"y_range": (0.0, 1.05 * heights.max())}
    unit = "variance (squared reward units)"
    noises = Chart("Their noise", "b (reward units)", unit, layers, **top)
    charts = [_arrows(groups, mean, rewards), noises]
    at = f", b = {b:g}," if way == NUMBER else ""
    same = "the same" if torch.allclose(mean, usual) else "not the same"
    told = (
        f"With the advantage {way}{at} the variance is {noise:.2f}; the mean gradient "
        f"is {mean.norm().item():.2f} long, {same} as that of R itself "
        f"({usual.norm().item():.2f}). The quietest b is {best:.2f}, with a variance "
        f"of {np.polyval(curve, best):.2f}."
    )
    return Fig(Panels(charts, height=3.6), told, groups)


def baseline_explorer(
    pi: Sequence[float],
    rewards: Sequence[float],
    *,
    b: float = 0.0,
    live: bool | None = None,
) -> Instrument:
    """Arrows of the policy gradient on three responses, as the baseline slides.

    Args:
        pi: probabilities of three responses.
        rewards: of the same responses, reward units.
        b: where the slider starts, one of ``BASELINES``; 0 subtracts nothing.
        live: True, False, or None to ask the surroundings.
    """
    chances, values = (torch.tensor(v, dtype=torch.float64) for v in (pi, rewards))

    def draw(way: str, b: float) -> Fig:
        return baseline_figure(chances, values, way, b)

    controls = {
        "way": Choice("advantage", list(WAYS), NUMBER),
        "b": Slider("b", BASELINES, b, coarse=BASELINES[::5]),
    }
    name = "Baseline explorer"
    return Instrument(name, draw, controls, live, computed_by=group_arrows)
