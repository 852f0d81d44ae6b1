"""The β explorer: slide the price of drift and watch the exact optimum move."""

from functools import cache
from math import log10

from jaxtyping import Float
from torch import Tensor

from workbench.views.fig import Fig
from workbench.views.instruments.beta_state import (
    BETAS,
    beta_figure,
    beta_path,
    beta_state,
)
from workbench.views.instruments.shell import Instrument, steps


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

    def controls() -> dict:
        from ipywidgets import FloatLogSlider, Layout

        slider = FloatLogSlider(
            value=beta,
            base=10,
            min=log10(BETAS[0]),
            max=log10(BETAS[-1]),
            step=0.05,
            description="β (log scale)",
            readout_format=".3f",
            continuous_update=False,
            style={"description_width": "7em"},
            layout=Layout(width="34em"),
        )
        prompts = steps("prompt", world.prompts, world.prompts[0])
        return {"beta": slider, "prompt": prompts}

    defaults = {"beta": beta, "prompt": world.prompts[0]}
    return Instrument("β explorer", draw, defaults, controls, live)
