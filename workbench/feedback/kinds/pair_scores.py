"""Scores of the two responses of a comparison: what a reward model learns from."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.fields import learned
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pairs import PairsWithoutReference, exchanged


@dataclass(frozen=True)
class PairScores:
    """Scores of a chosen and a rejected response, in reward units."""

    chosen: Float[Tensor, " batch"] = learned()
    rejected: Float[Tensor, " batch"] = learned()

    def margin(self) -> Float[Tensor, " batch"]:
        """Score of the chosen minus that of the rejected response, reward units."""
        return self.chosen - self.rejected

    def swapped(self):
        """The same pairs, chosen and rejected exchanged."""
        return exchanged(self)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        scores = torch.randn(2, batch, generator=generator, dtype=dtype)
        return cls(chosen=scores[0], rejected=scores[1])


@dataclass(frozen=True)
class ScoredPairs(PairsWithoutReference):
    """Pairs whose responses a reward model scores; there is no reference."""

    def batch(self, model, rows: Tensor, ref=None) -> PairScores:
        """What a loss of scores reads, for some of the rows."""
        batch = self.pairs[rows]
        values = model.scores(batch.both_member_major(model.members))
        halves = values.unflatten(0, (model.members, 2, -1))
        return PairScores(halves[:, 0].flatten(), halves[:, 1].flatten())


kind = Kind("pairs", PairScores, {("pairs",): lambda labels: ScoredPairs(labels.pairs)})
