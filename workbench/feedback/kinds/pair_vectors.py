"""Vectors of the two responses of a comparison, for a general preference."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.fields import learned
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pairs import PairsWithoutReference, exchanged


@dataclass(frozen=True)
class PairVectors:
    """Vectors of a chosen and a rejected response, and the weights of their prompt.

    Attributes:
        chosen: k pairs of numbers side by side.
        rejected: the same of the other response.
        gate: weight of each of the k pairs of numbers, by the prompt.
    """

    chosen: Float[Tensor, "batch width"] = learned()
    rejected: Float[Tensor, "batch width"] = learned()
    gate: Float[Tensor, "batch pair"] = learned()

    def swapped(self):
        """The same pairs, chosen and rejected exchanged."""
        return exchanged(self)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values with two pairs of numbers, for generic tests."""
        vectors = torch.randn(2, batch, 4, generator=generator, dtype=dtype)
        gate = torch.randn(batch, 2, generator=generator, dtype=dtype).softmax(-1)
        return cls(vectors[0], vectors[1], 2 * gate)


@dataclass(frozen=True)
class VectorPairs(PairsWithoutReference):
    """Pairs whose responses a ``models.preference_vectors.PreferenceVectors`` reads."""

    def batch(self, model, rows: Tensor, ref=None) -> PairVectors:
        """What a loss of vectors reads, for some of the rows."""
        tokens = self.pairs[rows].both_member_major(model.members)
        vectors, gate = (
            values.unflatten(0, (model.members, 2, -1)) for values in model.read(tokens)
        )
        # both responses of a pair have one prompt, so one gate
        parts = vectors[:, 0], vectors[:, 1], gate[:, 0]
        return PairVectors(*(part.flatten(0, 1) for part in parts))


kind = Kind(
    "pairs", PairVectors, {("pairs",): lambda labels: VectorPairs(labels.pairs)}
)
