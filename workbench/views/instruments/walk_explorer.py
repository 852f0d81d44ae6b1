"""The walk explorer: self-improvement on three responses, from any start, in any game.

A click on a dot of the triangle, or the slider, sets the start; three sliders set who
beats whom; the steps can be played.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.measure import equilibrium
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.page_rule import Exact
from workbench.views.instruments.shell import Instrument
from workbench.views.simplex import PLACES, simplex
from workbench.worlds import preference_games

TAUS = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
STEPS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80)
WINS = tuple(round(0.05 * i, 2) for i in range(1, 20))
NEAR = 0.01  # largest difference of a probability at which a path is at the cross
EXACT = 1e-8  # of the equilibrium: no eye sees more
DOTS = 120  # of a path in the picture
PARTS = 7  # the starts to choose from are mixtures of sevenths


@dataclass(frozen=True)
class Walks:
    """Three walks and the place where they should end.

    Attributes:
        paths: name to probabilities after 0, 1, … steps, (step, 3).
        nash: probabilities of the equilibrium.
    """

    paths: dict[str, Float[Tensor, "step 3"]]
    nash: Float[Tensor, "3"]

    def after(self, n: int) -> dict[str, Float[Tensor, "step 3"]]:
        """The walks as far as they are after n steps of Nash-MD."""
        far = {"self-play, τ = 0": 5 * n, "best responses": min(n, 12)}
        return {k: path[: far.get(k, n) + 1] for k, path in self.paths.items()}


def walk_state(
    matrix: Float[Tensor, "3 3"],
    ref: Float[Tensor, "3"],
    start: Float[Tensor, "3"],
    tau: float,
    n: int,
) -> Walks:
    """Nash-MD, best responses and self-play without a reference, from one start.

    Args:
        matrix: P of ``worlds.preference_games``.
        ref: log μ.
        start: log π_0.
        tau: preference probability per nat.
        n: steps of Nash-MD.
    """
    paths = equilibrium.walks(matrix, ref, tau, n, start)
    nash = preference_games.nash(matrix, ref, tau, tolerance=EXACT)
    return Walks({name: path.exp() for name, path in paths.items()}, nash.exp())


def starts(ref: Float[Tensor, "3"]) -> dict[str, tuple[float, ...]]:
    """Mixtures to start from, by a name that gives their percents; μ is the first.

    Args:
        ref: log μ.
    """
    sevenths = [
        (a / PARTS, b / PARTS, (PARTS - a - b) / PARTS)
        for a in range(1, PARTS - 1)
        for b in range(1, PARTS - a)
    ]
    named = {" / ".join(f"{100 * p:.0f}" for p in one): one for one in sevenths}
    return {"π_ref": tuple(ref.exp().tolist())} | named


def game(first: float, second: float, third: float) -> Float[Tensor, "3 3"]:
    """P of three responses from the three probabilities that one beats the next.

    Args:
        first: P(1 ≻ 2).
        second: P(2 ≻ 3).
        third: P(3 ≻ 1).
    """
    upper = torch.tensor(
        [[0.5, first, 1 - third], [0.5, 0.5, second], [0.5, 0.5, 0.5]],
        dtype=torch.float64,
    ).triu(1)
    return upper + (1 - upper).T.tril(-1) + 0.5 * torch.eye(3, dtype=torch.float64)


def walk_explorer(
    matrix: Float[Tensor, "3 3"],
    ref: Float[Tensor, "3"],
    names: Sequence[str],
    *,
    tau: float = 0.05,
    n: int = 80,
    live: bool | None = None,
) -> Instrument:
    """Nash-MD, best responses and self-play without a reference, on the triangle.

    Args:
        matrix: P of ``worlds.preference_games``, which the sliders begin with.
        ref: log μ of the three responses.
        names: of the three responses.
        tau: where the slider of the price starts, preference probability per nat.
        n: where the slider of the steps starts.
        live: True, False, or None to ask the surroundings.
    """
    names, begin = list(names), starts(ref)
    most = max(*STEPS, n)

    @lru_cache(maxsize=64)
    def state(tau: float, start: str, *wins: float) -> Walks:
        first = torch.tensor(begin[start], dtype=torch.float64).log()
        return walk_state(game(*wins), ref, first, tau, most)

    def draw(
        tau: float, n: int, start: str, first: float, second: float, third: float
    ) -> Fig:
        found = state(tau, start, first, second, third)
        parts, near = [], []
        for name, path in found.after(n).items():
            if (path[-1] - found.nash).abs().max() < NEAR:
                near.append(name)
            kept = torch.linspace(0, len(path) - 1, min(len(path), DOTS)).round().long()
            frame = pd.DataFrame(path[kept].tolist(), columns=names)
            parts.append(frame.assign(curve=name, step=kept.tolist()))
        return simplex(
            pd.concat(parts, ignore_index=True),
            found.nash.tolist(),
            names=names,
            title=f"Three ways to improve against oneself, τ = {tau:g}",
            caption=f"At the cross after {n} steps: {', '.join(near) or 'none'}.",
            places=list(begin.values()),
        )

    return Instrument(
        "Walk explorer",
        draw,
        _controls(matrix, names, begin, tau, n),
        live,
        computed_by=walk_state,
        picks={PLACES: lambda at: {"start": list(begin)[at]}},
        exact=Exact("walk", _tables(ref, begin)),
    )


def _tables(ref: Tensor, begin: dict) -> dict:
    """What a page needs: `first` is the place of the first walk among the series."""
    shares = {name: list(place) for name, place in begin.items()}
    return {
        "ref": ref.tolist(),
        "starts": shares,
        "dots": DOTS,
        "near": NEAR,
        "first": 6,
    }


def _controls(
    matrix: Tensor, names: list[str], begin: dict, tau: float, n: int
) -> dict[str, Slider]:
    given = (matrix[0, 1].item(), matrix[1, 2].item(), matrix[2, 0].item())
    beats = dict(zip(("first", "second", "third"), range(3), strict=True))
    return {
        "tau": Slider("τ", sorted({*TAUS, tau}), tau),
        "n": Slider("steps", sorted({*STEPS, n}), n, play=True),
        "start": Slider("start (%)", list(begin), "π_ref"),
    } | {
        key: Slider(
            f"P({names[i]} ≻ {names[(i + 1) % 3]})",
            sorted({*WINS, given[i]}),
            given[i],
        )
        for key, i in beats.items()
    }
