"""Pairs of one round: both responses were written by the policy as the round began."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.fields import constant, frozen
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pairs import AroundPairs, PairLogps, Pairs


@dataclass(frozen=True)
class RoundPairLogps(PairLogps):
    """A pair with its log-probs under π_t, and how often the chosen one wins.

    Attributes:
        old_chosen: token log-probs of the chosen response under π_t, the policy that
            wrote it.
        old_rejected: the same of the rejected one.
        preference: p(chosen ≻ rejected) of whoever judged, a probability; 1 where only
            the drawn label is known.
    """

    old_chosen: Float[Tensor, "batch time"] = frozen("chosen_mask")
    old_rejected: Float[Tensor, "batch time"] = frozen("rejected_mask")
    preference: Float[Tensor, " batch"] = constant()

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        pair = PairLogps.example(generator, batch, time, dtype)
        old = {}
        for side in ("chosen", "rejected"):
            logps, mask = pair.by_name[f"policy_{side}"], pair.by_name[f"{side}_mask"]
            noise = torch.randn(batch, time, generator=generator, dtype=dtype)
            moved = (logps + 0.3 * noise).clamp(max=0)
            old[f"old_{side}"] = torch.where(mask, moved, 0.0)
        wins = torch.rand(batch, generator=generator, dtype=dtype)
        return cls(**pair.by_name, **old, preference=wins)


@dataclass(frozen=True)
class RoundPairs(AroundPairs):
    """Pairs of one round for each member of a stack, member-major.

    Attributes:
        pairs: what was written and how it was labelled.
        old: token log-probs of chosen and rejected under π_t.
        preference: p(chosen ≻ rejected) of each pair, a probability.
    """

    old: tuple[Tensor, Tensor]
    preference: Float[Tensor, " batch"]

    @staticmethod
    def of(pairs: Pairs, policy, preference: Tensor) -> "RoundPairs":
        """What a policy has written, with its own log-probs read once."""
        return RoundPairs(pairs, pairs.reference_logps(policy), preference)

    def batch(self, policy, rows: Tensor, ref) -> RoundPairLogps:
        """What a loss of a round reads, for some of the rows."""
        pair = self.pairs.batch(policy, rows, ref)
        dtype = pair.policy_chosen.dtype
        return RoundPairLogps(
            **pair.by_name,
            old_chosen=self.old[0][rows].to(dtype),
            old_rejected=self.old[1][rows].to(dtype),
            preference=self.preference[rows].to(dtype),
        )


kind = Kind("pairs of a round", RoundPairLogps)
