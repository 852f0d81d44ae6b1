"""The β explorer: slide the price of drift and watch the exact optimum move."""

from functools import cache

from jaxtyping import Float
from torch import Tensor

from workbench.views.fig import Fig
from workbench.views.instruments.beta_figure import beta_figure
from workbench.views.instruments.beta_state import BETAS, beta_path, beta_state
from workbench.views.instruments.beta_tables import beta_tables
from workbench.views.instruments.controls import (
    Choice,
    Control,
    Switch,
    powers,
)
from workbench.views.instruments.shell import Instrument


def beta_explorer(
    world,
    ref_logps: Float[Tensor, "prompt response"],
    proxy: Float[Tensor, "prompt response"],
    *,
    beta: float | int = 1.0,
    wrong: Float[Tensor, "prompt response"] | None = None,
    live: bool | None = None,
) -> Instrument:
    """π*_β, its KL, gold, proxy and ten likeliest reviews, as β slides.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref of every response, nats.
        proxy: the reward that is optimised (pass `world.gold` for the gold optimum).
        beta: where the slider starts, reward units per nat.
        wrong: another reward. If it is given, a box to tick puts it in the place of
            `proxy`, and the frontier, the optima of gold, stays in the picture.
        live: True, False, or None to ask the surroundings.
    """

    rewards = [proxy] if wrong is None else [proxy, wrong]

    @cache
    def path(prompt: str, number: int):
        return beta_path(world, ref_logps, rewards[number], prompt)

    @cache
    def frontier(prompt: str):
        return beta_path(world, ref_logps, world.gold, prompt)

    def draw(beta: float | int, prompt: str, use_wrong: bool = False) -> Fig:
        number = int(use_wrong)
        state = beta_state(world, ref_logps, rewards[number], beta, prompt)
        best = None if wrong is None else frontier(prompt)
        return beta_figure(state, path(prompt, number), prompt, best)

    first = world.prompts[0]
    controls: dict[str, Control] = {
        "beta": powers("β (log scale)", beta, low=BETAS[0], high=BETAS[-1]),
        "prompt": Choice("prompt", world.prompts, first),
    }
    if wrong is not None:
        controls["use_wrong"] = Switch("optimise a wrong proxy")
    starts = [draw(beta, first, bool(number)) for number in range(len(rewards))]
    exact = beta_tables(world, ref_logps, rewards, starts)
    return Instrument(
        "β explorer", draw, controls, live, computed_by=beta_state, exact=exact
    )
