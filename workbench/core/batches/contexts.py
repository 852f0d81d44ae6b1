"""Pairs whose responses are written from a code of themselves, and the ideal code."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.batches.pairs import example_logps
from workbench.core.logps import Reduce, sequence_logps


@dataclass(frozen=True)
class ContextPairs:
    """A pair of responses, each with its code z and its log-probs given that code.

    Attributes:
        policy_chosen: token log-probs of the chosen responses given their own codes.
        policy_rejected: token log-probs of the rejected ones given theirs.
        chosen_mask: True on tokens of the chosen responses.
        rejected_mask: True on tokens of the rejected responses.
        code_chosen: z of the chosen responses, from the encoder that learns.
        code_rejected: z of the rejected responses.
        policy_ideal: z*, the code that the policy is used with; the same in each row.
    """

    policy_chosen: Float[Tensor, "batch time"]
    policy_rejected: Float[Tensor, "batch time"]
    chosen_mask: Bool[Tensor, "batch time"]
    rejected_mask: Bool[Tensor, "batch time"]
    code_chosen: Float[Tensor, "batch dim"]
    code_rejected: Float[Tensor, "batch dim"]
    policy_ideal: Float[Tensor, "batch dim"]

    def logps(self, reduce: Reduce = "sum") -> tuple[Tensor, Tensor]:
        """log π(y|x, z(y)) of the chosen and of the rejected responses, in nats."""
        return (
            sequence_logps(self.policy_chosen, self.chosen_mask, reduce),
            sequence_logps(self.policy_rejected, self.rejected_mask, reduce),
        )

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values; codes of three numbers."""
        chosen, chosen_mask = example_logps(generator, batch, time, dtype)
        rejected, rejected_mask = example_logps(generator, batch, time, dtype)
        codes = torch.randn(3, batch, 3, generator=generator, dtype=dtype)
        return cls(chosen, rejected, chosen_mask, rejected_mask, *codes)
