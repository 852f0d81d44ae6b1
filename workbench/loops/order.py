"""Which rows a step reads: a function of seed and step, so nothing need be stored."""

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core.seeds import generator


def batch(
    seed: int, members: int, step: int, total: int, size: int
) -> Int[Tensor, " rows"]:
    """Row numbers of one batch: every epoch a new order, no row twice in it.

    Args:
        seed: member m of a stack uses ``seed + m``.
        members: seeds that train side by side; their data lie member-major.
        step: loop step.
        total: rows of the data set.
        size: rows per member; the last, smaller batch of an epoch is left out.
    """
    each = total // members
    size = min(size, each)
    epoch, part = divmod(step, each // size)
    chosen = []
    for member in range(members):
        order = torch.randperm(each, generator=generator(seed + member, "epoch", epoch))
        chosen.append(member * each + order[part * size : (part + 1) * size])
    return torch.cat(chosen)


def minibatches(
    total: int, members: int, group: int, parts: int, stream: torch.Generator
) -> Iterator[Int[Tensor, " rows"]]:
    """Row numbers of each minibatch of rollouts.

    The responses to a prompt stay together, and members side by side.

    Args:
        total: rollouts, member-major, groups contiguous.
        members: seeds that train side by side.
        group: responses per prompt.
        parts: minibatches.
        stream: source of the order.
    """
    groups = torch.randperm(total // members // group, generator=stream)
    start = torch.arange(members)[:, None, None] * (total // members)
    for part in groups.chunk(parts):
        within = part[None, :, None] * group + torch.arange(group)
        yield (start + within).flatten()
