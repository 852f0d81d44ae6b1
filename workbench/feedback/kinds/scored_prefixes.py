"""Responses with their reward, from which a critic learns values of prefixes."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.fields import constant, frozen, learned, masks
from workbench.core.logps import last_token
from workbench.core.tokens import Tokens
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.rollouts import Rollouts


@dataclass(frozen=True)
class ValueRollouts:
    """Value predictions along sampled responses.

    Attributes:
        values: V(s_t) before each response token, of the critic that learns.
        old_values: the same from the critic at the start of the batch.
        mask: True on response tokens.
        scores: reward of the whole response, in reward units.
    """

    values: Float[Tensor, "batch time"] = learned("mask", logps=False)
    old_values: Float[Tensor, "batch time"] = frozen("mask", logps=False)
    mask: Bool[Tensor, "batch time"] = masks()
    scores: Float[Tensor, " batch"] = constant()

    @property
    def rewards(self) -> Float[Tensor, "batch time"]:
        """The score on the last response token, 0 elsewhere."""
        return torch.where(last_token(self.mask), self.scores[:, None], 0.0)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        drawn = Rollouts.example(generator, batch, time, dtype)
        return cls(drawn.values, drawn.old_values, drawn.mask, drawn.scores)


@dataclass(frozen=True)
class ScoredResponses:
    """Responses and their rewards.

    Attributes:
        tokens: responses, drawn from the policy whose value is wanted.
        scores: reward of each, reward units.
    """

    tokens: Tokens
    scores: Float[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def weight(self) -> Float[Tensor, " batch"]:
        """Every response counts once."""
        return torch.ones(len(self), dtype=torch.float64)

    def reference_logps(self, reference) -> None:
        """A critic has no reference."""

    def batch(self, critic, rows: Tensor, ref: None) -> ValueRollouts:
        """What a value loss reads; the bootstrap targets are held fixed."""
        tokens = self.tokens[rows]
        values = critic.values(tokens)
        scores = self.scores[rows].to(values.dtype)
        return ValueRollouts(values, values.detach(), tokens.mask, scores)


kind = Kind("values of prefixes", ValueRollouts)
