"""The best gold reward that any policy reaches at a given KL.

The frontier of an AVERAGE over prompts: the policies that maximise mean E[gold] for a
given mean KL(π‖π_ref) spend their nats where they buy most, so all prompts share ONE
β, and each prompt has its own KL. Its points are π*_β of the gold reward.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.worlds import solutions

_PER_DECADE = 20


class Frontier:
    """Gold reward on the exact frontier as a function of KL.

    The points π*_β are exact; between them a cubic in √KL is used that has the exact
    slope at both ends (d gold/d KL = β), less than 1e-6 reward units away.

    Args:
        ref: log π_ref.
        gold: reward units.
    """

    def __init__(
        self,
        ref: Float[Tensor, "prompt response"],
        gold: Float[Tensor, "prompt response"],
    ):
        ref, gold = ref.detach().double(), gold.double()
        variance = solutions.covariance(ref, gold, gold).mean().item()
        scale = variance**0.5 or 1.0
        powers = torch.linspace(3, -5, 8 * _PER_DECADE + 1, dtype=torch.float64)
        table = solutions.frontier(ref, gold, gold, (scale * 10**powers).tolist())
        # β = ∞ is the reference; there gold grows as √(2 KL Var gold)
        nats = torch.tensor([0.0, *table["kl"]], dtype=torch.float64)
        self.root = nats.clamp(min=0).cummax(0).values.sqrt()
        start = solutions.expectation(ref, gold).mean().item()
        self.value = torch.tensor([start, *table["gold"]], dtype=torch.float64)
        slope = 2 * self.root[1:] * torch.tensor(table["beta"].tolist()).double()
        self.slope = torch.cat([torch.tensor([(2 * variance) ** 0.5]).double(), slope])

    def gold(self, kl: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Highest mean gold reward at this mean KL.

        Args:
            kl: nats per sequence, averaged over prompts; above the KL of always giving
                the best response, the reward of the best response is returned.
        """
        d = kl.double().clamp(min=0).sqrt().clamp(max=self.root[-1])
        right = torch.searchsorted(self.root, d).clamp(1, len(self.root) - 1)
        left = right - 1
        width = (self.root[right] - self.root[left]).clamp(min=1e-300)
        t = ((d - self.root[left]) / width).clamp(0, 1)
        value = self.value[left] * (1 + 2 * t) * (1 - t) ** 2
        value = value + self.value[right] * t**2 * (3 - 2 * t)
        value = value + self.slope[left] * width * t * (1 - t) ** 2
        return value + self.slope[right] * width * t**2 * (t - 1)
