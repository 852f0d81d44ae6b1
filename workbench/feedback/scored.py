"""Responses with a number each: what a critic learns from."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.batches import Tokens, ValueRollouts


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
