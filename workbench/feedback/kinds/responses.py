"""Single responses to learn from: demonstrations, corpora, chosen responses."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.fields import frozen, learned, masks
from workbench.core.logps import Reduce, sequence_logps
from workbench.core.memory import (
    Table,
    is_long,
    read_alike,
    read_in_parts,
    rows_at_once,
    table,
)
from workbench.core.tokens import Tokens
from workbench.feedback.kind import Kind


def example_logps(
    generator: torch.Generator, batch: int, time: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Random token log-probs and a mask: a prompt column, 1 to time − 1 tokens."""
    lengths = torch.randint(1, time, (batch, 1), generator=generator)
    position = torch.arange(time)[None]
    mask = (position >= 1) & (position <= lengths)
    logps = torch.rand(batch, time, generator=generator, dtype=dtype).log()
    return torch.where(mask, logps.clamp(min=-8), 0.0), mask


@dataclass(frozen=True)
class ResponseLogps:
    """Token log-probs of single responses under the policy and the reference."""

    policy: Float[Tensor, "batch time"] = learned("mask")
    ref: Float[Tensor, "batch time"] = frozen("mask")
    mask: Bool[Tensor, "batch time"] = masks()

    def logps(self, reduce: Reduce = "sum") -> Float[Tensor, " batch"]:
        """log π(y|x), in nats per sequence (or per token for ``"mean"``)."""
        return sequence_logps(self.policy, self.mask, reduce)

    def logratio(self, reduce: Reduce = "sum") -> Float[Tensor, " batch"]:
        """log π(y|x) − log π_ref(y|x), no gradient into the reference."""
        return sequence_logps(self.policy - self.ref.detach(), self.mask, reduce)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        policy, mask = example_logps(generator, batch, time, dtype)
        noise = torch.randn(batch, time, generator=generator, dtype=dtype)
        ref = torch.where(mask, policy + noise, 0.0).clamp(max=0)
        return cls(policy=policy, ref=ref, mask=mask)


@dataclass(frozen=True)
class Responses:
    """Responses with a weight each.

    Attributes:
        tokens: the responses.
        weight: how much each counts.
    """

    tokens: Tokens
    weight: Float[Tensor, " batch"]

    @staticmethod
    def of(tokens: Tokens) -> "Responses":
        """Every response counts once."""
        return Responses(tokens, torch.ones(len(tokens), dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice | Tensor) -> "Responses":
        return Responses(self.tokens[rows], self.weight[rows])

    @staticmethod
    def cat(parts: "list[Responses]") -> "Responses":
        """Data sets below each other; for a stack of seeds, member-major."""
        return Responses(
            Tokens.cat([part.tokens for part in parts]),
            torch.cat([part.weight for part in parts]),
        )

    @torch.no_grad()
    def reference_logps(self, reference, rows: Tensor | None = None) -> Any:
        """Reference log-probs of responses; zeros where there is no reference.

        Args:
            reference: one policy.
            rows: those that will be asked for; None is all.

        Returns:
            [response, time]: a tensor, or ``core.memory.Partly`` where reading takes
            long and some rows will do.
        """
        if reference is None:
            return torch.zeros(self.tokens.ids.shape)

        def read(some: Tensor) -> Tensor:
            return reference.token_logps(self.tokens[some])

        lengths = self.tokens.attention.sum(-1)
        if is_long(reference, int(lengths.sum())):
            return table(*read_alike(reference, lengths, rows, read), len(self))
        size = min(2048, rows_at_once(reference, self.tokens.ids.shape[1]))
        return read_in_parts(len(self), reference.members, size, read)

    def batch(self, policy, rows: Tensor, ref: Table) -> ResponseLogps:
        """What a supervised loss reads, for some of the rows."""
        batch = self.tokens[rows]
        values = policy.token_logps(batch)
        return ResponseLogps(values, ref[rows].to(values.dtype), batch.mask)


kind = Kind(
    "responses",
    ResponseLogps,
    {
        ("pairs",): lambda labels: Responses.of(labels.pairs.chosen),
        ("thumbs",): lambda labels: Responses.of(
            labels.thumbs.tokens[labels.thumbs.up]
        ),
    },
)
