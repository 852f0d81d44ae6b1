"""Single responses with a reward each, and what the reference earns at their prompt."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.fields import constant
from workbench.core.memory import Table
from workbench.core.tokens import Tokens
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.responses import ResponseLogps, Responses
from workbench.feedback.kinds.scored_prefixes import ScoredResponses


@dataclass(frozen=True)
class ScoredLogps(ResponseLogps):
    """Responses with a reward each, and what the reference earns at their prompt.

    Attributes:
        scores: reward of the whole response, reward units.
        baseline: V(x) = E_ref[r | x] of its prompt, reward units.
    """

    scores: Float[Tensor, " batch"] = constant()
    baseline: Float[Tensor, " batch"] = constant()

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

    def reference_logps(self, reference, rows: Tensor | None = None) -> Any:
        """Reference log-probs of responses."""
        return Responses.of(self.tokens).reference_logps(reference, rows)

    def batch(self, policy, rows: Tensor, ref: Table) -> ScoredLogps:
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


def _of_labels(labels) -> ValuedResponses:
    """Every response with its utility; the baseline is its prompt's mean utility."""
    tokens, scores = labels.pairs.both, torch.cat(labels.utilities)
    baseline = torch.zeros_like(scores)
    for each in tokens.prompt.unique().tolist():
        rows = tokens.prompt == each
        baseline[rows] = scores[rows].mean()
    return ValuedResponses(tokens, scores, baseline)


def _of_groups(labels) -> ValuedResponses:
    """Every response of a file's groups; the baseline is the mean of its group."""
    groups = labels.groups
    total = torch.zeros(len(groups), dtype=groups.scores.dtype)
    total = total.index_add(0, groups.owner, groups.scores)
    baseline = (total / groups.sizes)[groups.owner]
    return ValuedResponses(groups.tokens, groups.scores, baseline)


kind = Kind(
    "scores",
    ScoredLogps,
    {("groups",): _of_groups, ("pairs", "utilities"): _of_labels},
)
