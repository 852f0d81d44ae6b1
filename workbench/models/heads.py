"""A number instead of a next token: rewards of responses, values of prefixes."""

import math
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core.tokens import Tokens
from workbench.models import tiny
from workbench.models.network import Network, Stacked


def _scalar_network(vocab, width: int, layers: int, seed: int, spread: float):
    from transformers import LlamaForSequenceClassification

    shape = tiny.config(vocab, width, layers)
    shape.num_labels = 1
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForSequenceClassification(shape)
        nn.init.normal_(model.score.weight, std=spread)
    return Network(model)


def _outputs(network: Network | Stacked, tokens: Tokens) -> Float[Tensor, "batch time"]:
    """The head at every position, on the CPU wherever the network lives."""
    device = next(network.parameters()).device
    return network(tokens.ids.to(device))[..., 0].cpu()


class ScoreModel(nn.Module):
    """A reward model: the head's value at the last response token, reward units.

    Args:
        network: a network with one output per position.
    """

    def __init__(self, network: Network | Stacked):
        super().__init__()
        self.network = network

    @classmethod
    def tiny(
        cls,
        vocab,
        width: int = 64,
        layers: int = 2,
        seed: int = 0,
        spread: float | None = None,
    ):
        """A fresh reward model.

        Args:
            vocab: the tokens it reads.
            width, layers: of the decoder below the head.
            seed: of all first weights.
            spread: standard deviation of the head's first weights; None is that of
                InstructGPT, 1/√(width + 1).
        """
        usual = 1 / math.sqrt(width + 1)
        start = usual if spread is None else spread
        return cls(_scalar_network(vocab, width, layers, seed, start))

    @property
    def members(self) -> int:
        """Seeds that train side by side."""
        return self.network.members

    def scores(self, tokens: Tokens) -> Float[Tensor, " batch"]:
        """Reward of each response, read at its last token (never at padding)."""
        values = _outputs(self.network, tokens)
        return values.gather(1, tokens.last[:, None])[:, 0]

    @torch.no_grad()
    def score_all(self, world, chunk: int = 8192) -> Float[Tensor, "*lead response"]:
        """Reward of every response, float64, [prompt, response] (or stacked)."""
        rows = []
        for prompt in range(world.n_prompts):
            for response in torch.arange(world.n_responses).split(chunk):
                tokens = world.tokens(torch.full_like(response, prompt), response)
                many = Tokens.cat([tokens] * self.members)
                scores = self.scores(many).double()
                rows.append(scores.unflatten(0, (self.members, -1)))
        flat = torch.cat(rows, dim=1)
        table = flat.unflatten(1, (world.n_prompts, world.n_responses))
        return table if self.members > 1 else table[0]

    @staticmethod
    def stack(models: "list[ScoreModel]") -> "ScoreModel":
        """Several reward models as one batched model."""
        return ScoreModel(Stacked([model.network for model in models]))

    def save(self, folder: str | Path) -> None:
        """Write Hugging Face format; a stack's members as ``member-0``, …"""
        self.network.save(folder)


class ValueModel(nn.Module):
    """A critic: the expected reward before each response token, reward units."""

    def __init__(self, network: Network | Stacked):
        super().__init__()
        self.network = network

    @classmethod
    def tiny(cls, vocab, width: int = 64, layers: int = 2, seed: int = 0):
        """A fresh critic whose head starts at 0, as in OpenAI's code."""
        return cls(_scalar_network(vocab, width, layers, seed, 0.0))

    @property
    def members(self) -> int:
        """Seeds that train side by side."""
        return self.network.members

    def values(self, tokens: Tokens) -> Float[Tensor, "batch time"]:
        """V(s_t) of the prefix before token t on response tokens, 0 elsewhere."""
        after = _outputs(self.network, tokens)
        before = nn.functional.pad(after[:, :-1], (1, 0))
        return torch.where(tokens.mask, before, torch.zeros_like(before))

    def after(self, ids: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time"]:
        """Value of the prefix that ends with each token."""
        return self.network(ids)[..., 0]

    @torch.no_grad()
    def value_all(self, world) -> Float[Tensor, "*lead node"]:
        """Value of every prefix, float64, [prompt, node] (or stacked).

        Only prefixes of ``max_words − 1`` words are run, as in ``Policy.conditionals``.
        """
        tree = world.tree
        words = world.action_ids[tree.words(tree.depth - 1)]
        rows = []
        for prompt in world.prompt_tokens:
            ids = torch.cat([prompt.expand(len(words), -1), words], dim=1)
            device = next(self.network.parameters()).device
            after = self.after(ids.repeat(self.members, 1).to(device)).double().cpu()
            after = after[:, len(prompt) - 1 :].unflatten(0, (self.members, -1))
            rows.append(tree.at_nodes(after))
        table = torch.stack(rows, dim=1)
        return table if self.members > 1 else table[0]

    @staticmethod
    def stack(models: "list[ValueModel]") -> "ValueModel":
        """Several critics as one batched model."""
        return ValueModel(Stacked([model.network for model in models]))

    def save(self, folder: str | Path) -> None:
        """Write Hugging Face format; a stack's members as ``member-0``, …"""
        self.network.save(folder)
