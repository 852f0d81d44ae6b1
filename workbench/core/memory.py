"""How much of a data set one forward pass may read."""

from collections.abc import Callable

import torch
from torch import Tensor

_LOGITS = 2**25  # a forward pass, 128 MiB in float32


def rows_at_once(policy, time: int) -> int:
    """Rows of a forward pass whose logits fit into memory.

    Args:
        policy: a transformer; a table of an exact world has no logits to hold.
        time: columns of a row, tokens.
    """
    if not hasattr(policy, "network"):
        return _LOGITS
    return max(1, _LOGITS // (time * policy.network.config.vocab_size))


def read_in_parts(
    total: int, members: int, size: int, read: Callable[[Tensor], Tensor]
) -> Tensor:
    """Rows read part by part, each part with as many rows of every member.

    Args:
        total: rows, member-major.
        members: of the policy that reads; 1 for a single one.
        size: rows at a time, at most.
        read: row numbers to values, one row each.
    """
    columns = torch.arange(total).unflatten(0, (members, -1))
    parts = columns.split(max(1, size // members), dim=1)
    order = torch.cat([part.flatten() for part in parts]).argsort()
    return torch.cat([read(part.flatten()) for part in parts])[order]
