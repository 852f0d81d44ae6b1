"""The contest in one picture: every method as a point under the exact frontier."""

from collections.abc import Sequence

import torch

from workbench import views
from workbench.arena.grounds import Ground
from workbench.views.fig import Fig
from workbench.worlds import exact


def picture(
    frame, ground: Ground, *, always: Sequence[str] = (), caption: str | None = None
) -> Fig:
    """Gold reward against √KL of every method, coloured by what it learns from.

    Args:
        frame: of ``compare``, one world.
        ground: where it was fought; an exact world adds the frontier.
        always: methods that are named in any case.
        caption: one sentence that could be false; one about the frontier if None.
    """
    numbers = frame[frame["problem"] == ""]
    path = None
    if ground.is_exact:
        with torch.no_grad():
            ref = ground.reference.response_logps(ground.world)
        gold = ground.world.gold.double()
        betas = (10 ** torch.linspace(2, -2, 60)).tolist()
        path = exact.frontier(ref, gold, gold, betas)
    if caption is None:
        caption = _caption(numbers, ground)
    return views.points(
        numbers, path, caption=caption, labels=14, always=("dpo", *always), root=True
    )


def _caption(frame, ground: Ground) -> str:
    best = frame.groupby("method")["gold"].mean().idxmax()
    first = f"{best} has the highest mean gold reward of {frame['method'].nunique()}"
    if not ground.is_exact:
        return f"{first} objectives; every number is estimated from samples."
    gap = frame.groupby("method")["frontier_gap"].mean().min()
    return f"{first} objectives; every one lies {gap:.2f} or more below the frontier."
