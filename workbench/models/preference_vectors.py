"""Responses as vectors, compared by an antisymmetric product: cycles are possible.

A response has k pairs of numbers. Its lead over another is Σ_b λ_b(x)·(a_b b'_b −
b_b a'_b), where (a_b, b_b) is its b-th pair and the dashes are the other's. Exchanging
the two turns the sign. With k = 1 and b = 1 it is the difference of two scores.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.core.tokens import Tokens
from workbench.models import tiny
from workbench.models.network import Network, Stacked


def lead(
    first: Float[Tensor, "*#lead width"], second: Float[Tensor, "*#lead width"]
) -> Float[Tensor, "*lead pair"]:
    """a_b b'_b − b_b a'_b of each pair of numbers, before any weight, reward units."""
    one, two = first.unflatten(-1, (-1, 2)), second.unflatten(-1, (-1, 2))
    return one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]


class PreferenceVectors(nn.Module):
    """A network that gives each response 2k numbers, and each prompt k weights.

    Args:
        network: a network with 3k outputs per position: 2k read at the last token of a
            response, k at the last token of the prompt.
    """

    def __init__(self, network: Network | Stacked):
        super().__init__()
        self.network = network

    @classmethod
    def tiny(cls, vocab, k: int = 3, width: int = 64, layers: int = 2, seed: int = 0):
        """A fresh model.

        Args:
            vocab: the tokens it reads.
            k: pairs of numbers of a response.
            width, layers: of the decoder below the heads.
            seed: of all first weights.
        """
        from transformers import LlamaForSequenceClassification

        shape = tiny.config(vocab, width, layers)
        shape.num_labels = 3 * k
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = LlamaForSequenceClassification(shape)
            nn.init.normal_(model.score.weight, std=(width + 1) ** -0.5)
        return cls(Network(model))

    @property
    def members(self) -> int:
        """Seeds that train side by side."""
        return self.network.members

    def read(
        self, tokens: Tokens
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch pair"]]:
        """The vector of each response, and λ of its prompt, whose mean is 1."""
        device = next(self.network.parameters()).device
        values = self.network(tokens.ids.to(device)).cpu()
        k, row = values.shape[-1] // 3, torch.arange(len(values))
        gate = values[row, tokens.asked, 2 * k :].softmax(-1)
        return values[row, tokens.last, : 2 * k], k * gate

    @torch.no_grad()
    def lead_all(self, world) -> Float[Tensor, "*lead prompt response response"]:
        """Lead of every response over every other, float64, in an exact world."""
        found = []
        response = torch.arange(world.n_responses)
        for prompt in range(world.n_prompts):
            tokens = world.tokens(torch.full_like(response, prompt), response)
            vectors, gate = self.read(Tokens.cat([tokens] * self.members))
            rows = vectors.double().unflatten(0, (self.members, -1))
            weight = gate.double().unflatten(0, (self.members, -1))[:, :, None]
            each = lead(rows[:, :, None], rows[:, None, :])
            found.append((weight * each).sum(-1))
        table = torch.stack(found, 1)
        return table if self.members > 1 else table[0]

    @staticmethod
    def stack(models: "list[PreferenceVectors]") -> "PreferenceVectors":
        """Several models as one batched model."""
        return PreferenceVectors(Stacked([model.network for model in models]))

    def save(self, folder: str | Path) -> None:
        """Write Hugging Face format; a stack's members as ``member-0``, …"""
        self.network.save(folder)
