"""The β explorer: slide the price of drift and watch the exact optimum move."""

from functools import cache

from jaxtyping import Float
from torch import Tensor

from workbench.views.fig import Fig
from workbench.views.instruments.beta_state import (
    BETAS,
    beta_figure,
    beta_path,
    beta_state,
)
from workbench.views.instruments.controls import Choice, powers
from workbench.views.instruments.shell import Instrument


def beta_explorer(
    world,
    ref_logps: Float[Tensor, "prompt response"],
    proxy: Float[Tensor, "prompt response"],
    *,
    beta: float | int = 1.0,
    live: bool | None = None,
) -> Instrument:
    """π*_β, its KL, gold, proxy and ten likeliest reviews, as β slides.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref of every response, nats.
        proxy: the reward that is optimised (pass `world.gold` for the gold optimum).
        beta: where the slider starts, reward units per nat.
        live: True, False, or None to ask the surroundings.
    """

    @cache
    def path(prompt: str):
        return beta_path(world, ref_logps, proxy, prompt)

    def draw(beta: float | int, prompt: str) -> Fig:
        state = beta_state(world, ref_logps, proxy, beta, prompt)
        return beta_figure(state, path(prompt), prompt)

    controls = {
        "beta": powers("β (log scale)", beta, low=BETAS[0], high=BETAS[-1]),
        "prompt": Choice("prompt", world.prompts, world.prompts[0]),
    }
    return Instrument("β explorer", draw, controls, live, computed_by=beta_state)
