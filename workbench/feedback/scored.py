"""Responses with a number each: what a critic learns from."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.batches import ScoredLogps, Tokens, ValueRollouts
from workbench.feedback.responses import Responses


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


@dataclass(frozen=True)
class ValuedResponses(ScoredResponses):
    """Responses with a reward, and the reference's mean reward at their prompt.

    Attributes:
        baseline: V(x) = E_ref[r | x], reward units; exact, or a value head's answer.
    """

    baseline: Float[Tensor, " batch"]

    @staticmethod
    def cat(parts: "list[ValuedResponses]") -> "ValuedResponses":
        """Data sets below each other; for a stack of seeds, member-major."""
        return ValuedResponses(
            Tokens.cat([part.tokens for part in parts]),
            torch.cat([part.scores for part in parts]),
            torch.cat([part.baseline for part in parts]),
        )

    def reference_logps(self, reference) -> Tensor:
        """Reference log-probs of every response."""
        return Responses.of(self.tokens).reference_logps(reference)

    def batch(self, policy, rows: Tensor, ref: Tensor) -> ScoredLogps:
        """What a loss of scored responses reads, for some of the rows."""
        one = Responses.of(self.tokens).batch(policy, rows, ref)
        dtype = one.policy.dtype
        return ScoredLogps(
            one.policy,
            one.ref,
            one.mask,
            scores=self.scores[rows].to(dtype),
            baseline=self.baseline[rows].to(dtype),
        )
