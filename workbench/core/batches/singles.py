"""Log-probabilities of single responses with what somebody said of them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.batches.pairs import ResponseLogps


@dataclass(frozen=True)
class ThumbLogps(ResponseLogps):
    """Responses with a thumb up or down; no response need have a partner.

    Attributes:
        up: True for a thumb up.
        reference_point: mean log-ratio of MISMATCHED prompts and responses of the
            batch, in nats: an estimate of KL(π‖π_ref). One value a row, the same for
            all rows of a seed; a constant, and not clamped.
        reference_mean: mean log-ratio of the batch itself, in nats; a constant.
    """

    up: Bool[Tensor, " batch"]
    reference_point: Float[Tensor, " batch"]
    reference_mean: Float[Tensor, " batch"]

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        inner = ResponseLogps.example(generator, batch, time, dtype)
        up = torch.rand(batch, generator=generator) < 0.5
        point = torch.randn(2, batch, generator=generator, dtype=dtype)
        return cls(inner.policy, inner.ref, inner.mask, up, point[0], point[1])


@dataclass(frozen=True)
class ScoredLogps(ResponseLogps):
    """Responses with a reward each, and what the reference earns at their prompt.

    Attributes:
        scores: reward of the whole response, reward units.
        baseline: V(x) = E_ref[r | x] of its prompt, reward units.
    """

    scores: Float[Tensor, " batch"]
    baseline: Float[Tensor, " batch"]

    @property
    def advantage(self) -> Float[Tensor, " batch"]:
        """max(0, r − V(x)), reward units; a constant."""
        return (self.scores - self.baseline).detach().relu()

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        inner = ResponseLogps.example(generator, batch, time, dtype)
        drawn = torch.randn(2, batch, generator=generator, dtype=dtype)
        return cls(inner.policy, inner.ref, inner.mask, drawn[0], drawn[1] / 2)
