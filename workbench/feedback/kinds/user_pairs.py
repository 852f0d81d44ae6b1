"""Pairs and the user who judged each: scores that depend on a taste, which is unknown.

What is known of a user's taste at a pair comes from other pairs of the same user, its
context. A pair is never part of its own context: its label would be given away.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core.fields import constant, learned
from workbench.core.seeds import generator
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pairs import AroundPairs, exchanged

# a deviation of e^−5 is a point and one of e^5 is no knowledge; beyond, e^(2·5) in a
# divergence would soon overflow, and its gradient with it
LIMIT = 5.0


@dataclass(frozen=True)
class UserPairScores:
    """Scores of two responses by taste z, and a Gaussian q of the user's z.

    The score of a response is r(x, y, z) = r_0(x, y) + φ(x, y)·z, in reward units.

    Attributes:
        chosen: r_0 of the chosen responses, their reward at z = 0.
        rejected: r_0 of the rejected responses.
        slope_chosen: φ of the chosen responses.
        slope_rejected: φ of the rejected responses.
        mean: mean of q.
        log_std: log of its deviation; read through ``log_deviation``.
        noise: standard normal numbers, from which a sample of q is made.
        pairs: how many pairs the user of each has judged.
    """

    chosen: Float[Tensor, " batch"] = learned()
    rejected: Float[Tensor, " batch"] = learned()
    slope_chosen: Float[Tensor, "batch dim"] = learned()
    slope_rejected: Float[Tensor, "batch dim"] = learned()
    mean: Float[Tensor, "batch dim"] = learned()
    log_std: Float[Tensor, "batch dim"] = learned()
    noise: Float[Tensor, "batch dim"] = constant()
    pairs: Float[Tensor, " batch"] = constant()

    @property
    def log_deviation(self) -> Float[Tensor, "batch dim"]:
        """log s of q, cut to ±5: see ``LIMIT``."""
        return self.log_std.clamp(-LIMIT, LIMIT)

    def sample(self) -> Float[Tensor, "batch dim"]:
        """z = mean + s·noise, a draw from q that has a gradient in both."""
        return self.mean + self.log_deviation.exp() * self.noise

    def margin(self, z: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Score of the chosen minus that of the rejected response at tastes z."""
        turned = ((self.slope_chosen - self.slope_rejected) * z).sum(-1)
        return self.chosen - self.rejected + turned

    def swapped(self):
        """The same pairs, chosen and rejected exchanged; what is known of z stays."""
        return exchanged(self)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values with two numbers per taste, for generic tests."""

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=dtype)

        judged = torch.randint(2, 10, (batch,), generator=generator).to(dtype)
        chosen, rejected = draw(2, batch)
        slope, other_slope, mean, log_std, noise = draw(5, batch, 2)
        return cls(
            chosen, rejected, slope, other_slope, mean, log_std, noise, pairs=judged
        )


@dataclass(frozen=True)
class UserPairs(AroundPairs):
    """Pairs with a column ``users``, read by a ``models.latent_reward.LatentReward``.

    Contexts and noise are drawn anew for each batch, from its rows alone: a run that
    is resumed draws the same, and another order of the rows draws others.

    Attributes:
        pairs: the comparisons.
        size: a context holds at most so many pairs.
    """

    size: int = 8
    whole: ClassVar[str] = "contexts and noise are drawn for a whole batch"

    def reference_logps(self, reference, rows: Tensor | None = None) -> None:
        """Nothing: a reward model has no reference."""

    @cached_property
    def _users(self) -> tuple[Int[Tensor, " pair"], Int[Tensor, " user"]]:
        """The user of each pair, counted from 0, and how many pairs each user has."""
        _, user, count = self.pairs.columns["users"].unique(
            return_inverse=True, return_counts=True
        )
        return user, count

    def contexts(
        self, rows: Tensor, stream: torch.Generator
    ) -> tuple[Int[Tensor, "batch context"], Bool[Tensor, "batch context"]]:
        """Rows of other pairs of the same users, and which of them count.

        Where a user has too few, the row itself stands, and does not count.
        Rows of one user share their context but for themselves, so that few responses
        need be read.
        """
        user, count = self._users
        order = torch.randperm(len(self), generator=stream)
        order = order[user[order].argsort(stable=True)]  # users one after the other
        first, place = count.cumsum(0) - count, torch.arange(self.size + 1)
        mine = user[rows]
        taken = (first[mine][:, None] + place).clamp(max=len(self) - 1)
        others = order[taken]
        known = (place < count[mine][:, None]) & (others != rows[:, None])
        # one too many was taken, in case that one is the pair itself
        known &= known.cumsum(-1) <= self.size
        return torch.where(known, others, rows[:, None]), known

    def batch(self, model, rows: Tensor, ref=None) -> UserPairScores:
        """Scores by taste, and what the contexts tell of it, for some of the rows."""
        stream = generator(0, "contexts", *rows.tolist())
        others, known = self.contexts(rows, stream)
        # a pair that many contexts hold is read once
        read, place = torch.cat([rows, others.flatten()]).unique(return_inverse=True)
        own, around = place[: len(rows)], place[len(rows) :].reshape(others.shape)
        parts = model.read(self.pairs[read].both)
        base, slope, code = (part.unflatten(0, (2, -1)) for part in parts)
        mean, log_std = model.posterior(code[0][around], code[1][around], known)
        user, count = self._users
        return UserPairScores(
            chosen=base[0][own],
            rejected=base[1][own],
            slope_chosen=slope[0][own],
            slope_rejected=slope[1][own],
            mean=mean,
            log_std=log_std,
            noise=torch.randn(mean.shape, generator=stream).to(mean.dtype),
            pairs=count[user[rows]].to(mean.dtype),
        )


kind = Kind(
    "pairs with users",
    UserPairScores,
    {("pairs", "users"): lambda labels: UserPairs(labels.pairs)},
)
