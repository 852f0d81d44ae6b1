"""Pairs from responses that were sampled, where a world cannot be enumerated."""

import torch

from workbench.core.batches import Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.pairs import Pairs


def compare(
    first: Tokens,
    second: Tokens,
    rewards: tuple[torch.Tensor, torch.Tensor],
    annotator: Annotator,
    generator: torch.Generator,
) -> Pairs:
    """Have an annotator label two responses to each prompt.

    Args:
        first: a response to each prompt.
        second: another response to the same prompts, row by row; rows with the same
            tokens are left out, since they are no comparison.
        rewards: what the annotator perceives of each, reward units.
        annotator: who labels.
        generator: source of randomness.
    """
    time = max(first.ids.shape[1], second.ids.shape[1])
    first, second = first.padded(time), second.padded(time)
    wins = annotator.prefers_first(*rewards, generator, first.lengths, second.lengths)
    chosen, rejected = _swapped(first, second, wins)
    ids = [torch.where(t.attention, t.ids, -1) for t in (first, second)]
    keep = (ids[0] != ids[1]).any(1).nonzero()[:, 0]
    weight = torch.ones(len(keep), dtype=torch.float64)
    return Pairs(chosen[keep], rejected[keep], weight)


def _swapped(
    first: Tokens, second: Tokens, wins: torch.Tensor
) -> tuple[Tokens, Tokens]:
    both = Tokens.cat([first, second])
    row = torch.arange(len(first))
    return both[torch.where(wins, row, row + len(first))], both[
        torch.where(wins, row + len(first), row)
    ]
