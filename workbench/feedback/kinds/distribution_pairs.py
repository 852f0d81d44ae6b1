"""Pairs with the whole next-token distribution at each token."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.fields import frozen, learned
from workbench.core.memory import read_in_parts
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pairs import AroundPairs, PairLogps, Pairs
from workbench.feedback.kinds.responses import example_logps


@dataclass(frozen=True)
class PairDistributions(PairLogps):
    """A pair with all next-token log-probs at each response token.

    ``policy_chosen_distribution[b, t]`` holds the log-probs of the distribution that
    token t was drawn from; a token that may not be written has −inf. Columns outside
    the mask hold anything.
    """

    policy_chosen_distribution: Float[Tensor, "batch time vocab"] = learned(
        "chosen_mask"
    )
    policy_rejected_distribution: Float[Tensor, "batch time vocab"] = learned(
        "rejected_mask"
    )
    ref_chosen_distribution: Float[Tensor, "batch time vocab"] = frozen("chosen_mask")
    ref_rejected_distribution: Float[Tensor, "batch time vocab"] = frozen(
        "rejected_mask"
    )

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, four tokens in the vocabulary."""
        parts = {}
        for side in ("chosen", "rejected"):
            _, mask = example_logps(generator, batch, time, dtype)
            picked = torch.randint(4, (batch, time, 1), generator=generator)
            for who in ("policy", "ref"):
                noise = torch.randn(batch, time, 4, generator=generator, dtype=dtype)
                log_probs = noise.log_softmax(-1)
                tokens = log_probs.gather(-1, picked)[..., 0]
                parts[f"{who}_{side}_distribution"] = log_probs
                parts[f"{who}_{side}"] = torch.where(mask, tokens, 0.0)
            parts[f"{side}_mask"] = mask
        return cls(**parts)


@dataclass(frozen=True)
class DistributionPairs(AroundPairs):
    """Pairs whose whole next-token distributions are read, of policy and reference."""

    @staticmethod
    def cat(parts: "list[DistributionPairs]") -> "DistributionPairs":
        """Data sets below each other; for a stack of seeds, member-major."""
        return DistributionPairs(Pairs.cat([part.pairs for part in parts]))

    def _distributions(self, policy, rows: Tensor) -> tuple[Tensor, Tensor]:
        time = self.pairs.time
        part = self.pairs[rows]
        both = part.both_member_major(policy.members).padded(time)
        halves = policy.next_token_logps(both).unflatten(0, (policy.members, 2, -1))
        return halves[:, 0].flatten(0, 1), halves[:, 1].flatten(0, 1)

    @torch.no_grad()
    def reference_logps(
        self, reference, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Reference distributions at every token of every pair, [pair, time, vocab]."""
        both = read_in_parts(
            len(self),
            reference.members,
            512,
            lambda rows: torch.stack(self._distributions(reference, rows), dim=1),
        )
        return both[:, 0], both[:, 1]

    def batch(
        self, policy, rows: Tensor, ref: tuple[Tensor, Tensor]
    ) -> PairDistributions:
        """What a loss of whole token distributions reads, for some of the rows."""
        part, time = self.pairs[rows], ref[0].shape[1]
        distributions, parts = self._distributions(policy, rows), {}
        for side, tokens, log_probs, kept in (
            ("chosen", part.chosen.padded(time), distributions[0], ref[0]),
            ("rejected", part.rejected.padded(time), distributions[1], ref[1]),
        ):
            parts[f"{side}_mask"] = tokens.mask
            for who, values in (
                ("policy", log_probs),
                ("ref", kept[rows].to(log_probs.dtype)),
            ):
                picked = policy.pick(values, tokens)
                parts[f"{who}_{side}"] = torch.where(tokens.mask, picked, 0.0)
                parts[f"{who}_{side}_distribution"] = values
        return PairDistributions(**parts)


kind = Kind(
    "tokens",
    PairDistributions,
    {("pairs",): lambda labels: DistributionPairs(labels.pairs)},
)
