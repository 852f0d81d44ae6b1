"""Pairs whose responses are written from a code of themselves, and the ideal code."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.fields import learned, masks
from workbench.core.logps import Reduce, sequence_logps
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pairs import AroundPairs, exchanged
from workbench.feedback.kinds.responses import example_logps


@dataclass(frozen=True)
class LatentPairLogps:
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

    policy_chosen: Float[Tensor, "batch time"] = learned("chosen_mask")
    policy_rejected: Float[Tensor, "batch time"] = learned("rejected_mask")
    chosen_mask: Bool[Tensor, "batch time"] = masks()
    rejected_mask: Bool[Tensor, "batch time"] = masks()
    code_chosen: Float[Tensor, "batch dim"] = learned()
    code_rejected: Float[Tensor, "batch dim"] = learned()
    policy_ideal: Float[Tensor, "batch dim"] = learned()

    def logps(self, reduce: Reduce = "sum") -> tuple[Tensor, Tensor]:
        """log π(y|x, z(y)) of the chosen and of the rejected responses, in nats."""
        return (
            sequence_logps(self.policy_chosen, self.chosen_mask, reduce),
            sequence_logps(self.policy_rejected, self.rejected_mask, reduce),
        )

    def swapped(self):
        """The same pairs, chosen and rejected exchanged in every field."""
        return exchanged(self)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values; codes of three numbers."""
        chosen, chosen_mask = example_logps(generator, batch, time, dtype)
        rejected, rejected_mask = example_logps(generator, batch, time, dtype)
        codes = torch.randn(3, batch, 3, generator=generator, dtype=dtype)
        return cls(chosen, rejected, chosen_mask, rejected_mask, *codes)


@dataclass(frozen=True)
class LatentPairs(AroundPairs):
    """Pairs read by a ``models.context.LatentPolicy``; there is no reference.

    Attributes:
        pairs: the comparisons.
    """

    def reference_logps(self, reference, rows: Tensor | None = None) -> None:
        """Nothing: no term of the method reads a reference."""

    def batch(self, policy, rows: Tensor, ref=None) -> LatentPairLogps:
        """Codes, log-probs given them, and the ideal code, for some of the rows."""
        part, time = self.pairs[rows], self.pairs.time
        both = part.both.padded(time)
        codes = policy.codes(both)
        logps = policy.token_logps(both, codes)
        return LatentPairLogps(
            policy_chosen=logps[: len(rows)],
            policy_rejected=logps[len(rows) :],
            chosen_mask=both.mask[: len(rows)],
            rejected_mask=both.mask[len(rows) :],
            code_chosen=codes[: len(rows)],
            code_rejected=codes[len(rows) :],
            policy_ideal=torch.stack([policy.ideal] * len(rows)),
        )


kind = Kind(
    "pairs with codes",
    LatentPairLogps,
    {("pairs",): lambda labels: LatentPairs(labels.pairs)},
)
