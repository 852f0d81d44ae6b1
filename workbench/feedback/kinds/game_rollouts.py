"""Responses that the policy wrote itself, and how often each beats its opponent."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.fields import constant, frozen, learned, masks
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.responses import ResponseLogps


@dataclass(frozen=True)
class GameRollouts:
    """Responses of the policy and how often each beats its opponent.

    Attributes:
        policy: token log-probs under the policy that learns.
        ref: token log-probs under the reference.
        mask: True on response tokens.
        preference: p(y ≻ y′) for the opponent's response y′, a probability.
    """

    policy: Float[Tensor, "batch time"] = learned("mask")
    ref: Float[Tensor, "batch time"] = frozen("mask")
    mask: Bool[Tensor, "batch time"] = masks()
    preference: Float[Tensor, " batch"] = constant()

    def swapped(self):
        """The same responses; each loses as often as it won."""
        return replace(self, preference=1 - self.preference)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        inner = ResponseLogps.example(generator, batch, time, dtype)
        preference = torch.rand(batch, generator=generator, dtype=dtype)
        return cls(inner.policy, inner.ref, inner.mask, preference)


kind = Kind("games", GameRollouts)
