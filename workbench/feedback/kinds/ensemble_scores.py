"""Scores that several reward models give to the two responses of a comparison."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.fields import learned
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pairs import PairsWithoutReference, exchanged


@dataclass(frozen=True)
class EnsembleScores:
    """Scores of a chosen and a rejected response by each model, in reward units."""

    chosen: Float[Tensor, "batch model"] = learned()
    rejected: Float[Tensor, "batch model"] = learned()

    def margin(self) -> Float[Tensor, "batch model"]:
        """Score of the chosen minus that of the rejected response, for each model."""
        return self.chosen - self.rejected

    def swapped(self):
        """The same pairs, chosen and rejected exchanged."""
        return exchanged(self)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid scores of three models, for generic tests."""
        scores = torch.randn(2, batch, 3, generator=generator, dtype=dtype)
        return cls(chosen=scores[0], rejected=scores[1])


@dataclass(frozen=True)
class EnsemblePairs(PairsWithoutReference):
    """Pairs whose responses a ``models.reward_ensemble.RewardEnsemble`` scores.

    All models of an ensemble read the same pairs in the same order.

    Attributes:
        pairs: the comparisons.
    """

    def batch(self, model, rows: Tensor, ref=None) -> EnsembleScores:
        """What a loss of several models reads, for some of the rows."""
        tokens = self.pairs[rows].both_member_major(model.members)
        halves = model.member_scores(tokens).unflatten(0, (model.members, 2, -1))
        return EnsembleScores(halves[:, 0].flatten(0, 1), halves[:, 1].flatten(0, 1))


kind = Kind(
    "pairs", EnsembleScores, {("pairs",): lambda labels: EnsemblePairs(labels.pairs)}
)
