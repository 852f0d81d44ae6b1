"""Comparisons for a policy that writes from a code of the response."""

from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.core.batches import ContextPairs
from workbench.feedback.tokenwise import AroundPairs


@dataclass(frozen=True)
class ContextComparisons(AroundPairs):
    """Pairs read by a ``models.context.ContextPolicy``; there is no reference.

    Attributes:
        pairs: the comparisons.
    """

    def reference_logps(self, reference) -> None:
        """Nothing: no term of the method reads a reference."""

    def batch(self, policy, rows: Tensor, ref=None) -> ContextPairs:
        """Codes, log-probs given them, and the ideal code, for some of the rows."""
        part, time = self.pairs[rows], self.pairs.both.ids.shape[1]
        both = part.both.padded(time)
        codes = policy.codes(both)
        logps = policy.token_logps(both, codes)
        return ContextPairs(
            policy_chosen=logps[: len(rows)],
            policy_rejected=logps[len(rows) :],
            chosen_mask=both.mask[: len(rows)],
            rejected_mask=both.mask[len(rows) :],
            code_chosen=codes[: len(rows)],
            code_rejected=codes[len(rows) :],
            policy_ideal=torch.stack([policy.ideal] * len(rows)),
        )
