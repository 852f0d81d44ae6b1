"""A wish for some prompts, with the reference's own words for the others."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.feedback.pairs import Pairs
from workbench.feedback.tokenwise import ScopedPairs


def sample_scoped(
    world,
    logps: Float[Tensor, "prompt response"],
    wish: Bool[Tensor, " response"],
    n: int,
    generator: torch.Generator,
    prompts: tuple[Sequence[int], Sequence[int], Sequence[int]],
) -> ScopedPairs:
    """Pairs in scope of a wish, and responses that nobody judged outside and near it.

    A chosen response fulfils the wish, a rejected one does not; each is drawn from the
    law given that it does or does not.

    Args:
        world: an enumerable world.
        logps: law that all responses are drawn from, usually the reference.
        wish: True on the responses that fulfil it.
        n: rows; each has a pair, a response outside, and one near.
        generator: source of randomness.
        prompts: numbers of the prompts in scope, outside and near, used in turn.
    """
    scope, outside, near = (
        torch.as_tensor(some)[torch.arange(n) % len(some)] for some in prompts
    )
    chosen, rejected = (
        world.draw_for(torch.where(keep, logps, -torch.inf), scope, generator)
        for keep in (wish, ~wish)
    )
    return ScopedPairs(
        Pairs(chosen, rejected, torch.ones(n, dtype=torch.float64)),
        outside=world.draw_for(logps, outside, generator),
        near=world.draw_for(logps, near, generator),
    )
