"""Single responses to learn from: demonstrations, corpora, chosen responses."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.batches import ResponseLogps, Tokens

_LOGITS = 2**25  # a forward pass, 128 MiB in float32


def rows_at_once(policy, time: int) -> int:
    """Rows of a forward pass whose logits fit into memory.

    Args:
        policy: a transformer; a table of an exact world has no logits to hold.
        time: columns of a row, tokens.
    """
    if not hasattr(policy, "network"):
        return _LOGITS
    return max(1, _LOGITS // (time * policy.network.config.vocab_size))


def read_in_parts(
    total: int, members: int, size: int, read: Callable[[Tensor], Tensor]
) -> Tensor:
    """Rows read part by part, each part with as many rows of every member.

    Args:
        total: rows, member-major.
        members: of the policy that reads; 1 for a single one.
        size: rows at a time, at most.
        read: row numbers to values, a row each.
    """
    columns = torch.arange(total).unflatten(0, (members, -1))
    parts = columns.split(max(1, size // members), dim=1)
    order = torch.cat([part.flatten() for part in parts]).argsort()
    return torch.cat([read(part.flatten()) for part in parts])[order]


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
    def reference_logps(self, reference) -> Tensor:
        """Reference log-probs of every response; zeros where there is no reference."""
        if reference is None:
            return torch.zeros(self.tokens.ids.shape)
        size = min(2048, rows_at_once(reference, self.tokens.ids.shape[1]))
        return read_in_parts(
            len(self),
            reference.members,
            size,
            lambda rows: reference.token_logps(self.tokens[rows]),
        )

    def batch(self, policy, rows: Tensor, ref: Tensor) -> ResponseLogps:
        """What a supervised loss reads, for some of the rows."""
        batch = self.tokens[rows]
        values = policy.token_logps(batch)
        return ResponseLogps(values, ref[rows].to(values.dtype), batch.mask)
