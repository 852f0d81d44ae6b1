"""A critic of tokens: Q of every next token, V of the prefix, and a slow copy of Q."""

import copy
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core.tokens import Tokens
from workbench.models import tiny
from workbench.models.network import Network, Stacked

_TARGET = "target_"  # target_x is the slow copy of x


def _head(width: int, outputs: int) -> nn.Module:
    """One hidden layer, as in the authors' code; it starts at 0, which is ours.

    Then Q = V = 0, and the policy that is steered starts as the reference.
    """
    last = nn.Linear(2 * width, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), last)


class QNetwork(Network):
    """A decoder trunk with Q heads and a V head, and a slow copy of trunk and Q heads.

    Its outputs after each token are one row of numbers: Q of all heads, slow Q of all
    heads, V. So it can be stacked like any other network.

    Args:
        model: the trunk, a transformers model without a head.
        heads: Q heads; each has a value for every token of the vocabulary.
    """

    def __init__(self, model: nn.Module, heads: int):
        super().__init__(model)
        width, vocab = self.config.hidden_size, self.config.vocab_size
        self.q = nn.ModuleList(_head(width, vocab) for _ in range(heads))
        self.v = _head(width, 1)
        self.target_model = copy.deepcopy(model).requires_grad_(False)
        self.target_q = copy.deepcopy(self.q).requires_grad_(False)

    def forward(
        self, ids: Int[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time out"]:
        """Q, slow Q and V after each token, side by side."""
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.bf16):
            hidden = self.model(input_ids=ids, use_cache=False)[0]
            with torch.no_grad():
                slow = self.target_model(input_ids=ids, use_cache=False)[0]
                slow_q = [head(slow) for head in self.target_q]
            parts = [*(head(hidden) for head in self.q), *slow_q, self.v(hidden)]
        return torch.cat(parts, dim=-1).float()

    def save(self, folder: str | Path) -> None:
        """Write all weights (safetensors); ``load_state_dict`` reads them."""
        from safetensors.torch import save_file

        Path(folder).mkdir(parents=True, exist_ok=True)
        weights = {k: v.detach().contiguous() for k, v in self.state_dict().items()}
        save_file(weights, Path(folder) / "critic.safetensors")


class Read(NamedTuple):
    """What a critic of tokens says of some prefixes, reward units."""

    q: Float[Tensor, "batch time head vocab"]
    target: Float[Tensor, "batch time head vocab"]
    v: Float[Tensor, "batch time"]


class TokenCritic(nn.Module):
    """Q and V of every prefix, reward units; it learns, and its slow copy follows.

    Args:
        network: a ``QNetwork``, or several of one shape stacked.
        heads: its Q heads.
    """

    def __init__(self, network: QNetwork | Stacked, heads: int):
        super().__init__()
        self.network, self.heads = network, heads

    @classmethod
    def tiny(cls, vocab, heads=2, width: int = 64, layers: int = 2, seed: int = 0):
        """A fresh critic whose Q and V are 0 everywhere."""
        from transformers import LlamaModel

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            trunk = LlamaModel(tiny.config(vocab, width, layers))
            return cls(QNetwork(trunk, heads), heads)

    @property
    def members(self) -> int:
        """Seeds that train side by side."""
        return self.network.members

    def after(self, ids: Int[Tensor, "batch time"]) -> Read:
        """Q and V of the prefix that ends with each token."""
        out = self.network(ids.to(next(self.network.parameters()).device))
        both = out[..., :-1].unflatten(-1, (2, self.heads, -1))
        return Read(both[..., 0, :, :], both[..., 1, :, :], out[..., -1])

    def before(self, tokens: Tokens) -> Read:
        """Q and V of the prefix in which each response token is written, on the CPU.

        0 outside the responses.
        """

        def moved(values: Tensor) -> Tensor:
            values = values.cpu()
            lead = torch.zeros_like(values[:, :1])
            values = torch.cat([lead, values[:, :-1]], dim=1)
            mask = tokens.mask.reshape(*tokens.mask.shape, *[1] * (values.ndim - 2))
            return torch.where(mask, values, 0.0)

        return Read(*map(moved, self.after(tokens.ids)))

    def values(self, tokens: Tokens) -> Float[Tensor, "batch time"]:
        """V(s_t) before each response token, 0 elsewhere."""
        return self.before(tokens).v

    @torch.no_grad()
    def follow(self, rate: float) -> None:
        """Move the slow copy: Q̄ ← (1 − rate)·Q̄ + rate·Q, weight by weight (Polyak)."""
        weights = dict(self._named())
        for name, slow in weights.items():
            if name.startswith(_TARGET):
                slow.lerp_(weights[name.removeprefix(_TARGET)], rate)

    def _named(self):
        """Weights by their name in one ``QNetwork``."""
        if isinstance(self.network, Stacked):
            return zip(self.network.names, self.network.stacked, strict=True)
        return self.network.named_parameters()

    @staticmethod
    def stack(critics: "list[TokenCritic]") -> "TokenCritic":
        """Several critics as one batched model."""
        made = TokenCritic(Stacked([c.network for c in critics]), critics[0].heads)
        for name, weight in made._named():
            weight.requires_grad_(not name.startswith(_TARGET))
        return made

    def save(self, folder: str | Path) -> None:
        """Write all weights (safetensors); a stack's members as ``member-0``, …"""
        self.network.save(folder)
