"""Groups of scored responses to the same prompt, of one size or of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core.tokens import Tokens
from workbench.feedback.records import GroupRecord, Record

# which response the best one of a group is compared with
Rejected = Literal["random", "worst"]
REJECTED = {
    "random": "one drawn from those of lower score, the same for all seeds",
    "worst": "the one of lowest score",
}


@dataclass(frozen=True)
class Groups:
    """Two or more scored responses to each prompt.

    Attributes:
        tokens: the responses, those of a group below each other.
        scores: of each response, reward units.
        sizes: responses of each group.
    """

    tokens: Tokens
    scores: Float[Tensor, " response"]
    sizes: Int[Tensor, " group"]

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, rows: slice | Tensor) -> "Groups":
        some = self.rows(rows)
        return Groups(self.tokens[some], self.scores[some], self.sizes[rows])

    @cached_property
    def starts(self) -> Int[Tensor, " group"]:
        """The first row of each group."""
        return self.sizes.cumsum(0) - self.sizes

    @cached_property
    def owner(self) -> Int[Tensor, " response"]:
        """The group of each response."""
        return torch.arange(len(self)).repeat_interleave(self.sizes)

    def rows(self, groups: slice | Tensor) -> Int[Tensor, " response"]:
        """The rows of the responses of some groups, group by group."""
        starts, sizes = self.starts[groups], self.sizes[groups]
        place = torch.arange(int(sizes.sum()))
        place = place - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
        return starts.repeat_interleave(sizes) + place

    def first_greatest(
        self, values: Float[Tensor, " response"]
    ) -> Int[Tensor, " group"]:
        """The row of the greatest value of each group, the first one of equal ones."""
        table = values.new_full((len(self), int(self.sizes.max())), -torch.inf)
        place = torch.arange(len(values)) - self.starts[self.owner]
        table[self.owner, place] = values
        return self.starts + table.argmax(-1)

    @cached_property
    def best(self) -> Int[Tensor, " group"]:
        """The row of the best response of each group, the first one of equal ones."""
        return self.first_greatest(self.scores)

    @cached_property
    def lower(self) -> Bool[Tensor, " response"]:
        """True where a response has a lower score and other tokens than the best."""
        best = self.best[self.owner]
        other = ~self.tokens.same(self.tokens[best])
        return (self.scores < self.scores[best]) & other

    @property
    def ties(self) -> int:
        """Responses that have the score of the best one of their group, beside it."""
        tied = self.scores == self.scores[self.best][self.owner]
        return int(tied.sum()) - len(self)

    @property
    def extent(self) -> str:
        """The sizes in words: "4", or "2 to 5"."""
        least, most = (int(size) for size in self.sizes.aminmax())
        return str(least) if least == most else f"{least} to {most}"

    def pairing(self, how: Rejected) -> str:
        """How pairs are made, in a sentence."""
        ties = f"; {self.ties} that tie with the best are in no pair" * (self.ties > 0)
        return f"pairs: the best response of a group and {REJECTED[how]}{ties}"

    @staticmethod
    def of(records: Sequence[Record], tokens: Tokens) -> "Groups":
        """The groups of records whose responses are given as tokens, in their order."""
        groups = [record for record in records if isinstance(record, GroupRecord)]
        scores = [score for record in groups for score in record.scores]
        return Groups(
            tokens=tokens,
            scores=torch.tensor(scores, dtype=torch.float64),
            sizes=torch.tensor([len(record.scores) for record in groups]),
        )

    def rejected(
        self, how: Rejected, generator: torch.Generator
    ) -> Int[Tensor, " group"]:
        """The row of the response that the best one of each group is compared with.

        Args:
            how: a key of ``REJECTED``.
            generator: source of randomness.
        """
        drawn = torch.rand(len(self.scores), generator=generator, dtype=torch.float64)
        values = drawn if how == "random" else -self.scores
        return self.first_greatest(values.masked_fill(~self.lower, -torch.inf))
