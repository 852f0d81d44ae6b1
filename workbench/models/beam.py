"""Beam search on the tree of an enumerated world: tensors in, response numbers out."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.worlds.tree import PrefixTree


def beam_search(
    tree: PrefixTree, scores: Float[Tensor, "*lead node action"], width: int
) -> tuple[Int[Tensor, "*lead beam"], Float[Tensor, "*lead beam"]]:
    """The best responses that a beam finds, best first.

    A finished response keeps its place in the beam, and its score, until better ones
    push it out. Width 1 is greedy decoding; a beam as wide as there are responses is
    an exact search. Of equal scores the lower action wins.

    Args:
        tree: the responses.
        scores: what each action adds: log π(a|s) for the likeliest response, or
            β·log(π/π_ref)(a|s) for the one of highest implicit reward; the last action
            is the end.
        width: hypotheses that are kept.

    Returns:
        response numbers and their total scores; a beam wider than what it can hold is
        filled with response 0 at −∞.
    """
    lead, words = scores.shape[:-2], tree.n_words
    table = scores.reshape(-1, *scores.shape[-2:])
    rows = torch.arange(len(table))[:, None]
    number = torch.zeros(len(table), 1, dtype=torch.long)
    total = table.new_zeros(len(table), 1)
    done = torch.zeros_like(number, dtype=torch.bool)
    for length in range(tree.depth):
        added = table[rows, torch.where(done, 0, number)]
        grown = torch.where(done[..., None], -torch.inf, total[..., None] + added)
        stay = torch.where(done, total, -torch.inf)[..., None]
        values = torch.cat([grown, stay], dim=-1).flatten(1)
        first = tree.offset(length + 1) + (number - tree.offset(length)) * words
        children = first[..., None] + torch.arange(words)
        same = number[..., None].expand(-1, -1, 2)  # the end, or finished before
        numbers = torch.cat([children, same], dim=-1).flatten(1)
        ended = torch.arange(words + 2) >= words
        ended = ended.expand(*number.shape, -1).flatten(1)
        order = values.argsort(dim=-1, descending=True, stable=True)[:, :width]
        total, number = values.gather(1, order), numbers.gather(1, order)
        # a hole in the beam is a finished response that nothing follows
        done = ended.gather(1, order) | (total == -torch.inf)
    number = torch.where(total == -torch.inf, 0, number)
    gap = max(0, width - number.shape[1])
    number = torch.nn.functional.pad(number, (0, gap))
    total = torch.nn.functional.pad(total, (0, gap), value=-torch.inf)
    return number.reshape(*lead, width), total.reshape(*lead, width)
