"""Adam on gradients that add up over the parts of a batch, with its step size."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core import processes
from workbench.core.errors import BadCall, NonFiniteLoss
from workbench.loops.schedule import Schedule


@dataclass(frozen=True)
class Part:
    """Losses of some examples of a batch, member-major.

    Attributes:
        losses: one value per example.
        weight: how much each counts; None counts all alike.
        at: their places in the batch; None is all of it.
    """

    losses: Float[Tensor, " part"]
    weight: Float[Tensor, " part"] | None = None
    at: Int[Tensor, " part"] | None = None


class Descent:
    """The steps that a run takes.

    Args:
        trained: the parameters; those that are frozen are left out.
        schedule: step size, warm-up, decay, clipping.
        members: seeds that train side by side and share nothing.

    Attributes:
        adam: the optimiser, whose moments a run folder keeps.

    Raises:
        BadCall: nothing can be trained: all parameters are frozen.
    """

    def __init__(
        self, trained: Iterable[nn.Parameter], schedule: Schedule, members: int
    ):
        self._trained = [p for p in trained if p.requires_grad]
        if not self._trained:
            raise BadCall(
                "nothing can be trained: all parameters of the policy are frozen; "
                "start from policy.copies(1) or requires_grad_(True)"
            )
        self._schedule, self._members = schedule, members
        self.adam = torch.optim.Adam(self._trained, lr=schedule.lr)

    def begin(self, step: int) -> None:
        """Set the step size of a step of the loop."""
        self.adam.param_groups[0]["lr"] = self._schedule.lr_at(step)

    def learn(self, parts: Iterable[Part], total: int, step: int) -> Tensor:
        """One step on the mean loss of every member.

        The gradient of each part is added before the next one is made, so that only one
        of them is in memory.

        Args:
            parts: of one batch; of several processes, each brings its own.
            total: examples of the batch, all members together.
            step: of the loop, for the message.

        Returns:
            the mean loss of each member, [member].

        Raises:
            NonFiniteLoss: a loss is NaN or infinite; nothing has been updated.
        """
        self.adam.zero_grad(set_to_none=True)
        shares = [self._add(part, total, step) for part in parts]
        processes.add_gradients(self._trained)
        if self._schedule.clip is not None:
            self._clip(self._schedule.clip)
        self.adam.step()
        return processes.total(torch.stack(shares).sum(0))

    def _add(self, part: Part, total: int, step: int) -> Tensor:
        """Add the gradient of a part; its share of the mean loss of each member."""
        losses = part.losses
        if part.weight is not None:
            losses = losses * part.weight.to(losses)
        each = losses.unflatten(0, (self._members, -1))
        # a part counts by its size: the mean of parts of several sizes is another one
        share = each.sum(-1) / (total // self._members)
        if not share.isfinite().all():
            bad = (~losses.isfinite()).nonzero().flatten()
            at = bad if part.at is None else part.at[bad]
            raise NonFiniteLoss(step, at.tolist(), losses.detach()[bad])
        share.sum().backward()
        return share.detach()

    def _clip(self, most: float) -> None:
        """Shorten the gradient of every member to a norm of ``most``."""
        if self._members == 1:
            nn.utils.clip_grad_norm_(self._trained, most)
            return
        # each parameter of a stack has the members as its first axis
        found = [p.grad for p in self._trained if p.grad is not None]
        squares = torch.stack([g.flatten(1).pow(2).sum(1) for g in found]).sum(0)
        factor = (most / (squares.sqrt() + 1e-6)).clamp(max=1)
        for gradient in found:
            gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))
