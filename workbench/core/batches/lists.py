"""Log-probabilities of lists of responses to one prompt, with a score each."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.batches.pairs import ResponseLogps
from workbench.core.logps import Reduce, sequence_logps
from workbench.core.pairs import differences


@dataclass(frozen=True)
class ListLogps:
    """Token log-probs of several responses to each prompt; an example is a list.

    Attributes:
        policy: token log-probs under the policy that learns.
        ref: token log-probs under the reference (or another anchor).
        mask: True on response tokens.
        scores: reward of each response, reward units; in no order.
        proposal: log-prob of each response under the law it was drawn from, nats.
    """

    policy: Float[Tensor, "batch group time"]
    ref: Float[Tensor, "batch group time"]
    mask: Bool[Tensor, "batch group time"]
    scores: Float[Tensor, "batch group"]
    proposal: Float[Tensor, "batch group"]

    def logps(self, reduce: Reduce = "sum") -> Float[Tensor, "batch group"]:
        """log π(y|x), in nats a sequence (or a token for ``"mean"``)."""
        return sequence_logps(self.policy, self.mask, reduce)

    def logratio(self, reduce: Reduce = "sum") -> Float[Tensor, "batch group"]:
        """log π(y|x) − log π_ref(y|x), no gradient into the reference."""
        return sequence_logps(self.policy - self.ref.detach(), self.mask, reduce)

    @property
    def win_rates(self) -> Float[Tensor, "batch group"]:
        """Mean Bradley–Terry chance to beat the others of the list, from the scores."""
        chance = differences(self.scores).sigmoid()
        # a response does not meet itself, which would count one half
        return (chance.sum(-1) - 0.5) / max(1, self.scores.shape[-1] - 1)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, three responses a list."""
        flat = ResponseLogps.example(generator, 3 * batch, time, dtype)
        policy, ref, mask = (
            value.unflatten(0, (batch, 3))
            for value in (flat.policy, flat.ref, flat.mask)
        )
        scores = torch.randn(batch, 3, generator=generator, dtype=dtype)
        noise = torch.randn(batch, 3, generator=generator, dtype=dtype)
        proposal = sequence_logps(ref, mask) + 0.3 * noise
        return cls(policy, ref, mask, scores, proposal)
