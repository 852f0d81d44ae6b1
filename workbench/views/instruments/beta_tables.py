"""What a page needs to compute the β explorer itself: the exact tables, once each."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from workbench.views.fig import Fig
from workbench.views.instruments.beta_state import BETAS
from workbench.views.instruments.page_rule import Exact

Table = Float[Tensor, "prompt response"]


def beta_tables(
    world, ref_logps: Table, rewards: Sequence[Table], starts: Sequence[Fig]
) -> Exact:
    """Log-probs, rewards and names of all responses, by prompt.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref of every response, nats.
        rewards: what may be optimised, one or two.
        starts: the figure of each of them, whose lines and marks are filled anew; the
            frontier is computed if there are two.
    """
    frontier = len(rewards) > 1
    return Exact(
        "beta",
        {
            "betas": BETAS.tolist(),
            "ref": _by_prompt(world, ref_logps),
            "gold": _by_prompt(world, world.gold),
            "rewards": [_by_prompt(world, reward) for reward in rewards],
            "names": {prompt: _names(world, prompt) for prompt in world.prompts},
            "bases": [figure.plotly for figure in starts],
            "frontier": frontier,
        },
    )


def _names(world, prompt: str) -> list[str]:
    gold = world.gold[world.prompts.index(prompt)]
    return [f"{world.text(y)} ({g:+.1f})" for y, g in enumerate(gold.tolist())]


def _by_prompt(world, table: Tensor) -> dict[str, Any]:
    rows = table.double().tolist()
    return {
        prompt: [float(f"{value:.7g}") for value in row]
        for prompt, row in zip(world.prompts, rows, strict=True)
    }
