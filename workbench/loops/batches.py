"""A step's batch of a data set, in as many parts as the memory asks for.

The gradients of the parts add up to the gradient of the whole batch: a loss has one
value per example, and the parts count by their sizes. Two things of a batch are more
than its examples side by side. A field that is declared as a mean over the batch is
computed from all parts first, without gradients. A data set that draws for a whole
batch says so (``feedback.kind.why_whole``), and is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import processes
from workbench.core.contracts import Method, Trainable
from workbench.core.errors import BadCall
from workbench.core.fields import freeze, means
from workbench.feedback.kind import DataSet, alike, why_whole
from workbench.loops.checks import check_batch
from workbench.loops.descent import Part
from workbench.loops.schedule import Schedule
from workbench.loops.session import Session


@dataclass(frozen=True)
class Batches:
    """What a method reads of a data set.

    Attributes:
        model: what is trained.
        data: the examples; those of a stack's members lie side by side.
        ref: what the reference says of them.
        method: whose loss it is.
        cfg: its Config.
        plan: the run's.

    Raises:
        BadCall: parts of a batch are asked for, and the data have none.
    """

    model: Trainable
    data: DataSet
    ref: Any
    method: Method
    cfg: Any
    plan: Schedule

    def __post_init__(self) -> None:
        reason = why_whole(self.data)
        parts = self.plan.micro_batch is not None or processes.count() > 1
        if reason is not None and parts:
            raise BadCall(f"{self.method.card.key} takes no micro-batches: {reason}")

    def learn(self, session: Session, step: int) -> None:
        """One optimiser step of a session.

        Raises:
            NonFiniteLoss: a loss is NaN or infinite; nothing has been updated.
            BadCall: the data make other batches than the method reads.
        """
        plan = self.plan
        rows = session.draw(step, len(self.data), plan.batch_size)
        if plan.micro_batch is None and processes.count() == 1:
            parts = alike(self.data, rows)
            losses = [self.method.loss(self._read(part), self.cfg) for part in parts]
            session.step(torch.cat(losses), self.data.weight[torch.cat(parts)])
        else:
            session.learn(self._apart(rows, plan.micro_batch or len(rows)), len(rows))

    def _apart(self, rows: Tensor, size: int) -> Iterator[Part]:
        parts, shared = self._parts(rows, size), None
        for part in parts:
            batch = self._read(rows[part])
            if shared is None:
                shared = self._means(batch, [rows[each] for each in parts], len(rows))
            count = len(part) // self.model.members
            wide = {n: m.repeat_interleave(count) for n, m in shared.items()}
            losses = self.method.loss(replace(batch, **wide), self.cfg)
            yield Part(losses, self.data.weight[rows[part]], part)

    def _parts(self, rows: Tensor, size: int) -> list[Int[Tensor, " part"]]:
        """Places in the batch, so many of each member, that fit into one batch each.

        Of several processes, each has its share of the batch.
        """
        members = self.model.members
        columns = torch.arange(len(rows)).unflatten(0, (members, -1))
        shares = columns.tensor_split(processes.count(), dim=1)
        columns = shares[processes.number()]
        if columns.shape[1] == 0:
            raise BadCall(f"a batch of {len(rows)} is too small for so many processes")
        pieces = [piece.flatten() for piece in columns.split(size, dim=1)]
        place = {row: i for i, row in enumerate(rows.tolist())}
        return [
            torch.tensor([place[row] for row in part.tolist()])
            for piece in pieces
            for part in alike(self.data, rows[piece])
        ]

    @torch.no_grad()
    def _means(self, first: Any, parts: list[Tensor], total: int) -> dict[str, Tensor]:
        """The fields that are means over the batch, one value per member."""
        names = means(first)
        sums: dict[str, Any] = dict.fromkeys(names, 0)
        for rows in parts if names else ():
            batch = self._read(rows)
            for name in names:
                each = getattr(batch, name).unflatten(0, (self.model.members, -1))
                sums[name] = sums[name] + each.sum(-1)
        each = total / self.model.members
        return {n: processes.total(value) / each for n, value in sums.items()}

    def _read(self, rows: Tensor) -> Any:
        batch = freeze(self.data.batch(self.model, rows, self.ref))
        check_batch(self.method, batch)
        return batch
