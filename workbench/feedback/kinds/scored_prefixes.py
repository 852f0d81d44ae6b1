"""Responses with their reward, from which a critic learns values of prefixes."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

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
        mask: True on response tokens; one column longer where the finished response
            counts as a prefix too (``FinishedResponses``).
        scores: reward of the whole response, in reward units.
    """

    values: Float[Tensor, "batch time"] = learned("mask", logps=False)
    old_values: Float[Tensor, "batch time"] = frozen("mask", logps=False)
    mask: Bool[Tensor, "batch time"] = masks()
    scores: Float[Tensor, " batch"] = constant()

    @property
    def rewards(self) -> Float[Tensor, "batch time"]:
        """The score at the last place that counts, 0 elsewhere."""
        return torch.where(last_token(self.mask), self.scores[:, None], 0.0)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        drawn = Rollouts.example(generator, batch, time, dtype)
        return cls(drawn.value, drawn.old_value, drawn.mask, drawn.scores)


@dataclass(frozen=True)
class ScoredResponses:
    """Responses and their rewards.

    Attributes:
        tokens: responses, drawn from the policy whose value is wanted.
        scores: reward of each, reward units.
    """

    tokens: Tokens
    scores: Float[Tensor, " batch"]

    @classmethod
    def cat(cls, parts: "list[ScoredResponses]") -> "ScoredResponses":
        """Data sets below each other; for a stack of seeds, member-major."""
        tokens = Tokens.cat([part.tokens for part in parts])
        return cls(tokens, torch.cat([part.scores for part in parts]))

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def weight(self) -> Float[Tensor, " batch"]:
        """Every response counts once."""
        return torch.ones(len(self), dtype=torch.float64)

    def reference_logps(self, reference, rows: Tensor | None = None) -> None:
        """A critic has no reference."""

    def batch(self, critic, rows: Tensor, ref: None) -> ValueRollouts:
        """What a value loss reads; the bootstrap targets are held fixed."""
        tokens = self.tokens[rows]
        values = critic.values(tokens)
        scores = self.scores[rows].to(values.dtype)
        return ValueRollouts(values, values.detach(), tokens.mask, scores)


class FinishedResponses(ScoredResponses):
    """The same, where a finished response counts as the last prefix.

    Whoever chooses the next token by V of the prefix that it makes asks for V of
    finished responses as well. Their value is their score, and nothing follows it.
    With a discount below 1 the score is one token further away than in the class above.
    """

    def batch(self, critic, rows: Tensor, ref: None) -> ValueRollouts:
        """What a value loss reads, one column wider than the responses."""
        tokens = self.tokens[rows]
        tokens = tokens.padded(tokens.ids.shape[1] + 1)
        end = pad(last_token(tokens.mask)[:, :-1], (1, 0))
        longer = replace(tokens, mask=tokens.mask | end)
        every = ScoredResponses(longer, self.scores[rows])
        return every.batch(critic, torch.arange(len(every)), ref)


def of_both(labels) -> tuple[Tokens, Float[Tensor, " batch"]]:
    """Both responses of each pair, chosen ones first, and the utility of each."""
    return labels.pairs.both, torch.cat(labels.utilities)


kind = Kind(
    "values of prefixes",
    ValueRollouts,
    {("pairs", "utilities"): lambda labels: FinishedResponses(*of_both(labels))},
)
