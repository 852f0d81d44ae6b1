"""Pairs inside the scope of a wish, with responses outside and near it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.fields import frozen, learned, masks
from workbench.core.tokens import Tokens
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pairs import AroundPairs, PairLogps, Pairs
from workbench.feedback.kinds.responses import ResponseLogps, Responses


@dataclass(frozen=True)
class ScopedPairLogps(PairLogps):
    """A pair inside the scope of a wish, a response outside it and one near it.

    The responses outside and near are the reference's own: there nothing is to change.
    """

    policy_outside: Float[Tensor, "batch time"] = learned("outside_mask")
    ref_outside: Float[Tensor, "batch time"] = frozen("outside_mask")
    outside_mask: Bool[Tensor, "batch time"] = masks()
    policy_near: Float[Tensor, "batch time"] = learned("near_mask")
    ref_near: Float[Tensor, "batch time"] = frozen("near_mask")
    near_mask: Bool[Tensor, "batch time"] = masks()

    @property
    def outside(self) -> ResponseLogps:
        """The responses to prompts out of scope."""
        return ResponseLogps(self.policy_outside, self.ref_outside, self.outside_mask)

    @property
    def near(self) -> ResponseLogps:
        """The responses to prompts near the scope."""
        return ResponseLogps(self.policy_near, self.ref_near, self.near_mask)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        parts = PairLogps.example(generator, batch, time, dtype).by_name
        for place in ("outside", "near"):
            one = ResponseLogps.example(generator, batch, time, dtype)
            parts[f"policy_{place}"] = one.policy
            parts[f"ref_{place}"] = one.ref
            parts[f"{place}_mask"] = one.mask
        return cls(**parts)


@dataclass(frozen=True)
class ScopedPairs(AroundPairs):
    """Pairs inside the scope of a wish, with responses outside and near it.

    Attributes:
        outside: the reference's own responses to prompts out of scope, one per pair.
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

    def reference_logps(self, reference, rows: Tensor | None = None):
        """Reference log-probs of the pairs, of the responses outside, and near."""
        own = [
            Responses.of(tokens).reference_logps(reference, rows)
            for tokens in (self.outside, self.near)
        ]
        return self.pairs.reference_logps(reference, rows), *own

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
        return ScopedPairLogps(**pair.by_name, **parts)


def sample_scoped(
    world,
    logps: Float[Tensor, "prompt response"],
    wish: Bool[Tensor, " response"],
    n: int,
    generator: torch.Generator,
    prompts: tuple[Sequence[int], Sequence[int], Sequence[int]],
) -> ScopedPairs:
    """Pairs in scope of a wish, and responses that nobody judged outside and near it.

    A chosen response fulfils the wish, a rejected one does not; each is drawn from the
    distribution of ``logps`` conditioned on that.

    Args:
        world: an enumerable world.
        logps: distribution that all responses are drawn from, usually the reference.
        wish: True on the responses that fulfil it.
        n: rows; each has a pair, a response outside, and one near.
        generator: source of randomness.
        prompts: numbers of the prompts in scope, outside and near, used in turn.
    """
    scope, outside, near = (
        torch.as_tensor(some)[torch.arange(n) % len(some)] for some in prompts
    )
    chosen, rejected = (
        world.draw_for(torch.where(keep, logps, -torch.inf), scope, generator)
        for keep in (wish, ~wish)
    )
    return ScopedPairs(
        Pairs(chosen, rejected, torch.ones(n, dtype=torch.float64)),
        outside=world.draw_for(logps, outside, generator),
        near=world.draw_for(logps, near, generator),
    )


def _of_labels(labels) -> ScopedPairs:
    """Outside and near the scope stand the reference's own responses."""
    own, n = labels.own, len(labels.pairs)
    return ScopedPairs(labels.pairs, own[slice(0, n)], own[slice(n, 2 * n)])


kind = Kind("pairs", ScopedPairLogps, {("pairs", "own"): _of_labels})
