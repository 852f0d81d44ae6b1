"""Pairs with a grade: by how much the better response is better."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.fields import constant
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pair_scores import PairScores, ScoredPairs
from workbench.feedback.kinds.pairs import Pairs


@dataclass(frozen=True)
class GradedScores(PairScores):
    """Scores of two responses, and how far apart an annotator saw them.

    Attributes:
        grade: in the unit of whoever graded: reward units where it is a difference of
            utilities, steps of a scale where a person chose one.
    """

    grade: Float[Tensor, " batch"] = constant()

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        scores = PairScores.example(generator, batch, time, dtype)
        grade = torch.rand(batch, generator=generator, dtype=dtype)
        return cls(scores.chosen, scores.rejected, grade)


@dataclass(frozen=True)
class GradedPairs(ScoredPairs):
    """Pairs whose responses a reward model scores, each with its grade.

    Attributes:
        grade: of each pair.
    """

    grade: Float[Tensor, " batch"]

    @classmethod
    def cat(cls, parts: "list[GradedPairs]") -> "GradedPairs":
        """Data sets below each other; for a stack of seeds, member-major."""
        pairs = Pairs.cat([part.pairs for part in parts])
        return cls(pairs, torch.cat([part.grade for part in parts]))

    def batch(self, model, rows: Tensor, ref=None) -> GradedScores:
        """What a loss of graded scores reads, for some of the rows."""
        both = super().batch(model, rows)
        grade = self.grade[rows].to(both.chosen.dtype)
        return GradedScores(both.chosen, both.rejected, grade)


def of_utilities(labels) -> GradedPairs:
    """The grade is what the annotator felt: the difference of the two utilities."""
    better, worse = labels.utilities
    return GradedPairs(labels.pairs, (better - worse).abs())


def of_column(labels) -> GradedPairs:
    """The grade is a column of the file, ``margin`` as TRL calls it."""
    return GradedPairs(labels.pairs, labels.pairs.columns["margin"].double())


kind = Kind(
    "graded pairs",
    GradedScores,
    {("pairs", "margin"): of_column, ("pairs", "utilities"): of_utilities},
)
