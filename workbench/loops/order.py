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
    rows = slice(part * size, (part + 1) * size)
    return torch.cat([_order(seed, m, each, epoch)[rows] for m in range(members)])


def used(
    seed: int, members: int, steps: int, total: int, size: int
) -> Int[Tensor, " rows"]:
    """Row numbers of all batches of a run, in order and none twice.

    Args:
        steps: of the whole run.
        seed, members, total, size: as in ``batch``.
    """
    each = total // members
    size = min(size, each)
    found = torch.zeros(total, dtype=torch.bool)
    epoch, left = 0, steps * size
    while left > 0 and not found.all():
        rows = slice(0, min(left, each // size * size))
        for member in range(members):
            found[_order(seed, member, each, epoch)[rows]] = True
        epoch, left = epoch + 1, left - each // size * size
    return found.nonzero()[:, 0]


def _order(seed: int, member: int, each: int, epoch: int) -> Int[Tensor, " rows"]:
    """The rows of one member in the order of an epoch."""
    stream = generator(seed + member, "epoch", epoch)
    return member * each + torch.randperm(each, generator=stream)


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
