"""The walk explorer: self-improvement on three responses, as τ and the steps move."""

from collections.abc import Sequence

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from workbench.measure import equilibrium
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.simplex import simplex
from workbench.worlds import preference_games

TAUS = (0.02, 0.05, 0.1, 0.2, 0.5)
STEPS = (1, 2, 5, 10, 20, 40, 80)
NEAR = 0.01  # largest difference of a probability at which a path is at the cross


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
        matrix: P of ``worlds.preference_games``.
        ref: log μ of the three responses, where all walks begin.
        names: of the three responses.
        tau: where the slider of the price starts, preference probability per nat.
        n: where the slider of the steps starts.
        live: True, False, or None to ask the surroundings.
    """
    names = list(names)

    def draw(tau: float, n: int) -> Fig:
        nash = preference_games.nash(matrix, ref, tau).exp()
        parts, near = [], []
        for name, path in equilibrium.walks(matrix, ref, tau, n).items():
            frame = pd.DataFrame(path.exp().tolist(), columns=names)
            parts.append(frame.assign(curve=name, step=range(len(frame))))
            if (path[-1].exp() - nash).abs().max() < NEAR:
                near.append(name)
        return simplex(
            pd.concat(parts, ignore_index=True),
            nash.tolist(),
            names=names,
            title=f"Three ways to improve against oneself, τ = {tau:g}",
            caption=f"At the cross after {n} steps: {', '.join(near) or 'none'}.",
        )

    controls = {
        "tau": Slider("τ", sorted({*TAUS, tau}), tau),
        "n": Slider("steps", sorted({*STEPS, n}), n, play=True),
    }
    return Instrument(
        "Walk explorer", draw, controls, live, computed_by=equilibrium.walks
    )
