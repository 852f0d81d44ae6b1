"""Pairs read one after the other, in both orders, by a model of preferences."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.fields import learned
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pairs import Pairs, PairsWithoutReference, exchanged


@dataclass(frozen=True)
class OrderedOdds:
    """What a model says of a pair in both orders.

    Attributes:
        chosen_first: log-odds that the first is better, where the chosen stands first.
        rejected_first: log-odds that the first is better, where the rejected does.
    """

    chosen_first: Float[Tensor, " batch"] = learned()
    rejected_first: Float[Tensor, " batch"] = learned()

    def margin(self) -> Float[Tensor, " batch"]:
        """Log-odds of the mean chance, over both orders, that the chosen is better.

        A pair exchanged has exactly the opposite margin, whatever the model prefers of
        the two places.
        """
        wins = self.chosen_first.sigmoid() + (-self.rejected_first).sigmoid()
        losses = (-self.chosen_first).sigmoid() + self.rejected_first.sigmoid()
        return wins.log() - losses.log()

    def swapped(self):
        """The same pairs, chosen and rejected exchanged."""
        return exchanged(self)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        odds = torch.randn(2, batch, generator=generator, dtype=dtype)
        return cls(odds[0], odds[1])


@dataclass(frozen=True)
class OrderedPairs(PairsWithoutReference):
    """Pairs that a ``models.pair_reader.PairReader`` reads in both orders."""

    def batch(self, model, rows: Tensor, ref=None) -> OrderedOdds:
        """What a loss of ordered pairs reads, for some of the rows."""
        some = self.pairs[rows]
        first = some.both_member_major(model.members)
        turned = Pairs(some.rejected, some.chosen, some.weight)
        odds = model.odds(first, turned.both_member_major(model.members))
        halves = odds.unflatten(0, (model.members, 2, -1))
        return OrderedOdds(halves[:, 0].flatten(), halves[:, 1].flatten())


kind = Kind(
    "pairs", OrderedOdds, {("pairs",): lambda labels: OrderedPairs(labels.pairs)}
)
