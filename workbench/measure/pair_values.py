"""Numbers of every pair of a data set under a policy, in as many passes as fit."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core.memory import Table, alike, is_long, rows_at_once
from workbench.feedback.kinds.pairs import PairLogps, Pairs


def pair_values(
    policy,
    pairs: Pairs,
    ref: tuple[Table, Table],
    read: Callable[[PairLogps], Float[Tensor, "value batch"]],
    *,
    shared: bool = False,
    chunk: int | None = None,
) -> tuple[Int[Tensor, "member pair"], Float[Tensor, "value member pair"]]:
    """What is read of each pair, float64, on the CPU and without gradient.

    Args:
        policy: a policy, or a stack of them.
        pairs: for a stack, the pairs of each member lie side by side (member-major).
        ref: ``pairs.reference_logps(reference)``.
        read: some values of each pair of a batch.
        shared: every member of a stack judges all the pairs.
        chunk: pairs per forward pass and member; as many as memory takes if None.

    Returns:
        the rows of ``pairs`` that each member judged, and what was read of them.
    """
    members, every = policy.members, torch.arange(len(pairs))
    rows = every.expand(members, -1) if shared else every.unflatten(0, (members, -1))
    order, lengths = torch.arange(rows.shape[1]), pairs.lengths
    if chunk is None and is_long(policy, int(lengths.sum())):
        # the same pairs together as the reference has read
        split = alike(policy, lengths.amax(-1), each=2)
        order = torch.cat(split)
    else:
        fits = rows_at_once(policy, ref[0].shape[1]) // (2 * members)
        split = order.split(chunk or max(1, min(1024, fits)))
    parts = []
    for columns in split:
        with torch.no_grad():
            batch = pairs.batch(policy, rows[:, columns].flatten(), ref)
        values = read(batch).detach().double().cpu()
        parts.append(values.unflatten(1, (members, -1)))
    return rows, torch.cat(parts, dim=-1)[..., order.argsort()]


def logratios(batch: PairLogps) -> Float[Tensor, "2 batch"]:
    """log π − log π_ref of the chosen and of the rejected responses, nats."""
    return torch.stack([batch.chosen.logratio(), batch.rejected.logratio()])
