"""Scores that a reward model gives to the responses of a list, with their ranking."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.fields import constant, learned
from workbench.core.pairwise_sums import differences
from workbench.feedback.kind import DataSet, Kind
from workbench.feedback.kinds import lists
from workbench.feedback.kinds.lists import Lists, MixedLists


@dataclass(frozen=True)
class ListScores:
    """What a reward model says of several responses, and what an annotator said.

    Attributes:
        values: score of each response by the model that learns, reward units.
        scores: the annotator's, of which losses read the order; in no order.
    """

    values: Float[Tensor, "batch group"] = learned()
    scores: Float[Tensor, "batch group"] = constant()

    def margin(self) -> Float[Tensor, " pair"]:
        """Value of the better minus that of the worse, of every pair of a list."""
        better = differences(self.scores) > 0
        return differences(self.values)[better]

    def swapped(self):
        """The same lists with the scores negated: the worst response is the best."""
        return replace(self, scores=-self.scores)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, four responses per list."""
        values = torch.randn(2, batch, 4, generator=generator, dtype=dtype)
        return cls(values[0], values[1])


@dataclass(frozen=True)
class ScoredLists:
    """Lists whose responses a reward model scores; there is no reference.

    Attributes:
        lists: the responses and the annotator's scores.
    """

    lists: Lists

    def __len__(self) -> int:
        return len(self.lists)

    @property
    def weight(self) -> Float[Tensor, " batch"]:
        """How much each list counts."""
        return self.lists.weight

    @staticmethod
    def cat(parts: "list[ScoredLists]") -> "ScoredLists":
        """Data sets below each other; for a stack of seeds, member-major."""
        return ScoredLists(Lists.cat([part.lists for part in parts]))

    def reference_logps(self, reference, rows: Tensor | None = None) -> None:
        """Nothing: a reward model has no reference."""

    def batch(self, model, rows: Tensor, ref=None) -> ListScores:
        """What a loss of ranked scores reads, for some of the lists."""
        some = self.lists[rows]
        values = model.scores(some.tokens).unflatten(0, (-1, some.group))
        return ListScores(values, some.scores.to(values.dtype))


def _scored(made: DataSet) -> DataSet:
    if isinstance(made, MixedLists):
        return replace(made, parts=tuple(ScoredLists(part) for part in made.parts))
    assert isinstance(made, Lists)  # what the kind of lists makes, if they are alike
    return ScoredLists(made)


kind = Kind(
    "ranked lists",
    ListScores,
    {
        way: lambda labels, make=make: _scored(make(labels))
        for way, make in lists.kind.ways.items()
    },
)
