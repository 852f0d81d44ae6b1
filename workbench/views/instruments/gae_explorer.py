"""The explorer of generalised advantages: one response, token by token, as λ slides.

An advantage is linear in rewards and values, so what an error of the critic and what a
lucky score do to it are plain differences of two advantages.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import advantages
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import Bars, HLine, Line, VLine
from workbench.views.style import GREY, Style, series

LAMBDAS = tuple(round(0.01 * i, 2) for i in range(101))
GAMMAS = tuple(round(0.8 + 0.01 * i, 2) for i in range(21))
ERROR, LUCK = "error of 1 in all later values", "luck of 1 in the last reward"
Tokens = Float[Tensor, " token"]


def gae(rewards: Tokens, values: Tokens, lam: float, gamma: float) -> Tokens:
    """Advantages of one response, by the library.

    Args:
        rewards: paid with each token, reward units.
        values: of the critic, before each token, reward units.
        lam, gamma: λ and γ.
    """
    mask = torch.ones(1, len(rewards), dtype=torch.bool)
    return advantages.gae(rewards[None], values[None], mask, gamma, lam)[0]


def first_hears(
    rewards: Tokens, values: Tokens, lam: float, gamma: float
) -> dict[str, float]:
    """How far the advantage of the first token moves, reward units.

    Args: those of ``gae``.

    Returns:
        with a critic that is 1 too high at every later token, and with a last reward
        that is 1 higher; sizes, without a sign.
    """
    wrong, lucky = torch.ones_like(values), torch.zeros_like(rewards)
    wrong[0], lucky[-1] = 0.0, 1.0
    was = gae(rewards, values, lam, gamma)[0]
    moved = {
        ERROR: gae(rewards, values + wrong, lam, gamma)[0],
        LUCK: gae(rewards + lucky, values, lam, gamma)[0],
    }
    return {name: (now - was).abs().item() for name, now in moved.items()}


def gae_figure(rewards: Tokens, values: Tokens, lam: float, gamma: float) -> Fig:
    """Two panels: advantages per token, and what the first of them hears.

    Args: those of ``gae``.
    """
    names = [f"token {i + 1}" for i in range(len(rewards))]
    ways = {"λ = 0": 0.0, f"λ = {lam:g}, now": lam, "λ = 1": 1.0}
    found = {name: gae(rewards, values, at, gamma) for name, at in ways.items()}
    bars = [
        Bars(names, A.tolist(), name, series(i))
        for i, (name, A) in enumerate(found.items())
    ]
    every = torch.stack(
        [gae(rewards, values, at, gamma) for at in (0.0, 0.25, 0.5, 0.75, 1.0)]
    )
    low, high = min(every.min().item(), 0.0), every.max().item()
    room = 0.1 * (high - low)
    heard = [first_hears(rewards, values, at, gamma) for at in LAMBDAS[::5]]
    right = [
        Line(LAMBDAS[::5], [row[name] for row in heard], name, series(i + 3))
        for i, name in enumerate((ERROR, LUCK))
    ]
    mark = VLine(lam, "λ now", Style(GREY, "dot"))
    axes = "λ", "change of A of token 1 (reward units)"
    charts = [
        Chart(
            "Advantages", "", "advantage (reward units)", [*bars, HLine(0.0)],
            y_range=(low - room, high + room),
        ),
        Chart("What the first token hears", *axes, [*right, mark], y_range=(0, 1.05)),
    ]  # fmt: skip
    here = first_hears(rewards, values, lam, gamma)
    first = {name: A[0].item() for name, A in found.items()}
    told = (
        f"With λ = {lam:g} and γ = {gamma:g} the advantage of token 1 is "
        f"{first[f'λ = {lam:g}, now']:+.2f} ({first['λ = 0']:+.2f} with λ = 0 and "
        f"{first['λ = 1']:+.2f} with λ = 1). A critic that is 1 too high at all later "
        f"tokens moves it by {here[ERROR]:.2f} (bias), a last reward that is 1 higher "
        f"by {here[LUCK]:.2f} (noise)."
    )
    given = {"token": names, "r": rewards.tolist(), "V": values.tolist()}
    table = pd.DataFrame(given | {name: A.tolist() for name, A in found.items()})
    return Fig(Panels(charts), told, table)


def gae_explorer(
    rewards: Sequence[float],
    values: Sequence[float],
    *,
    lam: float = 0.95,
    gamma: float = 1.0,
    live: bool | None = None,
) -> Instrument:
    """Advantages of the tokens of one response, as λ and γ slide.

    Args:
        rewards: paid with each token, reward units.
        values: of the critic, before each token, reward units.
        lam, gamma: where the sliders start, one of ``LAMBDAS`` and of ``GAMMAS``.
        live: True, False, or None to ask the surroundings.
    """
    given = [torch.tensor(column, dtype=torch.float64) for column in (rewards, values)]

    def draw(lam: float, gamma: float) -> Fig:
        return gae_figure(*given, lam, gamma)

    controls = {
        "lam": Slider("λ", LAMBDAS, lam, LAMBDAS[::10]),
        "gamma": Slider("γ", GAMMAS, gamma, GAMMAS[::10]),
    }
    name = "Advantages by λ"
    return Instrument(name, draw, controls, live, computed_by=first_hears)
