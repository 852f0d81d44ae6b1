"""How much of a data set one forward pass may read, and which rows of it together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import progress
from workbench.core.errors import BadCall

_LOGITS = 2**25  # a forward pass, 128 MiB in float32
# Tokens times weights from which a reading is planned: some ten seconds of two cores.
# A shorter one is done at once and whole, in the order of the rows.
LONG = 1e12


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


# ---- readings that take long ------------------------------------------------------


@dataclass(frozen=True)
class Partly:
    """Values of some rows of a table, which is indexed as the whole table is.

    Attributes:
        values: of the rows that are known, [known, …].
        place: of each row of the table its place in ``values``; −1 if it is not known.
    """

    values: Tensor
    place: Int[Tensor, " row"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole table."""
        return len(self.place), *self.values.shape[1:]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """The values of some rows.

        Raises:
            BadCall: one of them is not known.
        """
        places = self.place[rows]
        if (lost := rows[places < 0]).numel():
            raise BadCall(f"the reference has not read row {lost[0].item()}")
        return self.values[places]


Table = Tensor | Partly  # one row of values for each row of a data set


def is_whole(read: Any) -> bool:
    """Whether every row is known of tables, however they lie in tuples and lists."""
    if isinstance(read, tuple | list):
        return all(map(is_whole, read))
    return not isinstance(read, Partly)


def is_long(policy, tokens: int) -> bool:
    """Whether to plan the reading of a data set: the work is counted, not timed.

    Args:
        policy: who reads; a stack of several members is small.
        tokens: of all rows.
    """
    if not hasattr(policy, "network") or policy.members > 1:
        return False
    return tokens * sum(p.numel() for p in policy.parameters()) > LONG


def alike(
    policy, lengths: Int[Tensor, " row"], *, each: int = 1, most: int = 1024
) -> list[Int[Tensor, " part"]]:
    """Places of rows in parts of similar length, so that little padding is run.

    The longest come first: if the memory is too small, that shows at once.

    Args:
        policy: a transformer of one member.
        lengths: tokens of each row, the longest of its sequences.
        each: sequences of a row.
        most: rows of a part.
    """
    order, parts = lengths.argsort(descending=True, stable=True), []
    while len(order):
        fits = rows_at_once(policy, max(1, int(lengths[order[0]]))) // each
        size = max(1, min(most, fits))
        parts.append(order[:size])
        order = order[size:]
    return parts


def read_alike(
    policy,
    lengths: Int[Tensor, " row"],
    rows: Int[Tensor, " some"] | None,
    read: Callable[[Tensor], Tensor],
    **size: int,
) -> tuple[Tensor, Int[Tensor, " known"]]:
    """Rows read in parts of similar length, with a line of progress.

    The parts depend on the rows alone, so that a resumed run reads the same numbers.

    Args:
        policy: who reads, a transformer of one member.
        lengths: as in ``alike``, of every row of a table.
        rows: those that are wanted, in any order; None is all.
        read: row numbers to values, one row each.
        size: as in ``alike``.

    Returns:
        values, [known, …], and the rows that they belong to, in their order.
    """
    known = torch.arange(len(lengths)) if rows is None else rows.unique()
    parts = [known[part] for part in alike(policy, lengths[known], **size)]
    found = []
    with progress.bar(len(known), label="rows read by the reference") as bar:
        for part in parts:
            found.append(read(part))
            bar.update(len(part))
    if not parts:  # of a table that a run does not need
        return torch.empty(0), known
    return torch.cat(found)[torch.cat(parts).argsort()], known


def table(values: Tensor, known: Int[Tensor, " known"], total: int) -> Table:
    """Values of some of ``total`` rows: a tensor if they are all, else ``Partly``."""
    if len(known) == total:
        return values
    place = torch.full((total,), -1)
    place[known] = torch.arange(len(known))
    return Partly(values, place)
