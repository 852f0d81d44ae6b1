"""Pairs that know more of their tokens; each is a data set for the offline loop."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.batches import (
    PairLaws,
    PairSteps,
    PairTokenRewards,
    ScopedPairLogps,
    Tokens,
)
from workbench.feedback.pairs import Pairs
from workbench.feedback.responses import Responses, read_in_parts


@dataclass(frozen=True)
class AroundPairs:
    """A data set built around pairs.

    Attributes:
        pairs: the comparisons.
    """

    pairs: Pairs

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def weight(self) -> Float[Tensor, " batch"]:
        """How much each pair counts."""
        return self.pairs.weight

    def reference_logps(self, reference):
        """Reference log-probs of every pair, read once before training."""
        return self.pairs.reference_logps(reference)


@dataclass(frozen=True)
class LawPairs(AroundPairs):
    """Pairs whose whole next-token laws are read, of policy and reference."""

    @staticmethod
    def cat(parts: "list[LawPairs]") -> "LawPairs":
        """Data sets below each other; for a stack of seeds, member-major."""
        return LawPairs(Pairs.cat([part.pairs for part in parts]))

    def _laws(self, policy, rows: Tensor) -> tuple[Tensor, Tensor]:
        time = self.pairs.both.ids.shape[1]
        part = self.pairs[rows]
        both = part.both_member_major(policy.members).padded(time)
        halves = policy.token_laws(both).unflatten(0, (policy.members, 2, -1))
        return halves[:, 0].flatten(0, 1), halves[:, 1].flatten(0, 1)

    @torch.no_grad()
    def reference_logps(self, reference) -> tuple[Tensor, Tensor]:
        """Reference laws at every token of every pair, [pair, time, vocab]."""
        both = read_in_parts(
            len(self),
            reference.members,
            512,
            lambda rows: torch.stack(self._laws(reference, rows), dim=1),
        )
        return both[:, 0], both[:, 1]

    def batch(self, policy, rows: Tensor, ref: tuple[Tensor, Tensor]) -> PairLaws:
        """What a loss of whole token laws reads, for some of the rows."""
        part, time = self.pairs[rows], ref[0].shape[1]
        laws, parts = self._laws(policy, rows), {}
        for side, tokens, law, kept in (
            ("chosen", part.chosen.padded(time), laws[0], ref[0]),
            ("rejected", part.rejected.padded(time), laws[1], ref[1]),
        ):
            parts[f"{side}_mask"] = tokens.mask
            for who, values in (("policy", law), ("ref", kept[rows].to(law.dtype))):
                picked = policy.pick(values, tokens)
                parts[f"{who}_{side}"] = torch.where(tokens.mask, picked, 0.0)
                parts[f"{who}_{side}_law"] = values
        return PairLaws(**parts)


@dataclass(frozen=True)
class TokenRewardPairs(AroundPairs):
    """Pairs with a reward for each response token, given from outside.

    Attributes:
        chosen_rewards: one value a token of the chosen responses, aligned with
            ``pairs.chosen.ids``.
        rejected_rewards: the same of the rejected ones.
    """

    chosen_rewards: Float[Tensor, "batch time"]
    rejected_rewards: Float[Tensor, "batch time"]

    @staticmethod
    def cat(parts: "list[TokenRewardPairs]") -> "TokenRewardPairs":
        """Data sets of one width below each other; for a stack, member-major."""
        return TokenRewardPairs(
            Pairs.cat([part.pairs for part in parts]),
            torch.cat([part.chosen_rewards for part in parts]),
            torch.cat([part.rejected_rewards for part in parts]),
        )

    def batch(self, policy, rows: Tensor, ref) -> PairTokenRewards:
        """What a loss with token rewards reads, for some of the rows."""
        pair = self.pairs.batch(policy, rows, ref)
        time = pair.policy_chosen.shape[1]
        rewards = {}
        for side in ("chosen", "rejected"):
            values = vars(self)[f"{side}_rewards"][rows].to(pair.policy_chosen.dtype)
            wide = torch.nn.functional.pad(values, (0, time - values.shape[1]))
            rewards[f"reward_{side}"] = wide
        return PairTokenRewards(**pair.held, **rewards)


@dataclass(frozen=True)
class StepPairs(AroundPairs):
    """Pairs that share their first steps and part at one.

    Attributes:
        chosen_step: True on the tokens of that step of the chosen responses.
        rejected_step: the same of the rejected ones.
    """

    chosen_step: Bool[Tensor, "batch time"]
    rejected_step: Bool[Tensor, "batch time"]

    @staticmethod
    def of_first_difference(pairs: Pairs, size: int = 1) -> "StepPairs":
        """The step is the ``size`` tokens from where the two responses part.

        Args:
            pairs: pairs; each starts with the same prompt.
            size: tokens a step.
        """
        time = pairs.both.ids.shape[1]
        chosen, rejected = pairs.chosen.padded(time), pairs.rejected.padded(time)
        same = (chosen.ids == rejected.ids) & (chosen.mask == rejected.mask)
        parted = (~same).cumsum(-1) > 0
        steps = [_first(side.mask & parted, size) for side in (chosen, rejected)]
        return StepPairs(pairs, *steps)

    @staticmethod
    def cat(parts: "list[StepPairs]") -> "StepPairs":
        """Data sets of one width below each other; for a stack, member-major."""
        return StepPairs(
            Pairs.cat([part.pairs for part in parts]),
            torch.cat([part.chosen_step for part in parts]),
            torch.cat([part.rejected_step for part in parts]),
        )

    def batch(self, policy, rows: Tensor, ref) -> PairSteps:
        """What a stepwise loss reads, for some of the rows."""
        pair = self.pairs.batch(policy, rows, ref)
        time = pair.policy_chosen.shape[1]
        steps = {}
        for name in ("chosen_step", "rejected_step"):
            step = vars(self)[name][rows]
            steps[name] = torch.nn.functional.pad(step, (0, time - step.shape[1]))
        return PairSteps(**pair.held, **steps)


def _first(mask: Tensor, size: int) -> Tensor:
    """The first ``size`` True columns of each row."""
    return mask & (mask.cumsum(-1) <= size)


@dataclass(frozen=True)
class ScopedPairs(AroundPairs):
    """Pairs inside the scope of a wish, with responses outside and near it.

    Attributes:
        outside: the reference's own responses to prompts out of scope, one a pair.
        near: its own responses to prompts that look alike but are out of scope.
    """

    outside: Tokens
    near: Tokens

    @staticmethod
    def cat(parts: "list[ScopedPairs]") -> "ScopedPairs":
        """Data sets below each other; for a stack of seeds, member-major."""
        return ScopedPairs(
            Pairs.cat([part.pairs for part in parts]),
            Tokens.cat([part.outside for part in parts]),
            Tokens.cat([part.near for part in parts]),
        )

    def reference_logps(self, reference):
        """Reference log-probs of the pairs, of the responses outside, and near."""
        own = [
            Responses.of(tokens).reference_logps(reference)
            for tokens in (self.outside, self.near)
        ]
        return self.pairs.reference_logps(reference), *own

    def batch(self, policy, rows: Tensor, ref) -> ScopedPairLogps:
        """What a loss with constraints out of scope reads, for some of the rows."""
        pair = self.pairs.batch(policy, rows, ref[0])
        parts = {}
        for place, tokens, kept in (
            ("outside", self.outside, ref[1]),
            ("near", self.near, ref[2]),
        ):
            one = Responses.of(tokens).batch(policy, rows, kept)
            parts[f"policy_{place}"] = one.policy
            parts[f"ref_{place}"] = one.ref
            parts[f"{place}_mask"] = one.mask
        return ScopedPairLogps(**pair.held, **parts)
