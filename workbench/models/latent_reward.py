"""A reward that depends on a taste, and an encoder that reads the taste off pairs.

One network reads every response. Its outputs at the last token are r_0 and φ of the
reward r(x, y, z) = r_0(x, y) + φ(x, y)·z, and more numbers for the encoder.

The encoder begins where Bayes does. At z = 0 the slope of log p(labels|z) is a weighted
sum of φ_chosen − φ_rejected over the pairs, so this sum is its first guess, which a
network corrects. The network alone may never start: as long as φ does not use z,
nothing tells it what to write there, and meanwhile φ had better not use z.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.core.tokens import Tokens
from workbench.feedback.kinds.pairs import Pairs
from workbench.models import tiny
from workbench.models.network import Network


class LatentReward(nn.Module):
    """A reward model of many users; by itself it answers for z = 0.

    Args:
        network: a network with 1 + dim + width outputs per position.
        dim: numbers of a taste.
    """

    members = 1

    def __init__(self, network: Network, dim: int):
        super().__init__()
        width = network.config.num_labels - 1 - dim
        self.network, self.dim = network, dim
        self.pair = nn.Linear(2 * (dim + width), width)
        # no constant here: a user without pairs has the prior, N(0, I)
        self.summary = nn.Linear(width, 2 * dim, bias=False)

    @classmethod
    def tiny(cls, vocab, dim: int = 4, width: int = 64, layers: int = 2, seed: int = 0):
        """A fresh model; all its outputs start of order 1.

        Args:
            vocab: the world's vocabulary.
            dim: numbers of a taste.
            width: hidden size of the network, and numbers of a code.
            layers: decoder blocks.
            seed: of the weights.
        """
        from transformers import LlamaForSequenceClassification

        shape = tiny.config(vocab, width, layers)
        shape.num_labels = 1 + dim + width
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = LlamaForSequenceClassification(shape)
            nn.init.normal_(model.score.weight, std=(width + 1) ** -0.5)
            return cls(Network(model), dim)

    def read(
        self, tokens: Tokens
    ) -> tuple[
        Float[Tensor, " batch"], Float[Tensor, "batch dim"], Float[Tensor, "batch code"]
    ]:
        """r_0, φ and the code of each response, read at its last token.

        The first numbers of a code are φ.
        """
        device = next(self.network.parameters()).device
        values = self.network(tokens.ids.to(device)).cpu()
        values = values[torch.arange(len(values)), tokens.last]
        return values[:, 0], values[:, 1 : 1 + self.dim], values[:, 1:]

    def posterior(
        self,
        chosen: Float[Tensor, "batch context code"],
        rejected: Float[Tensor, "batch context code"],
        known: Bool[Tensor, "batch context"],
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Mean and log-deviation of q(z), from pairs in any order.

        Args:
            chosen: codes of the chosen responses of a user's pairs.
            rejected: codes of the rejected ones.
            known: which pairs count; none at all gives mean 0 and deviation 1.
        """
        device = self.summary.weight.device
        chosen, rejected, known = (t.to(device) for t in (chosen, rejected, known))
        n = known.sum(-1, keepdim=True)

        def pooled(each: Tensor) -> Tensor:
            # n + 1, and below s² = 1/(n + 1), as with a Gaussian of unit noise
            return (each * known[..., None]).sum(-2) / (1 + n)

        guess = pooled((chosen - rejected)[..., : self.dim])
        network = self.pair(torch.cat([chosen, rejected], dim=-1)).tanh()
        mean, log_std = self.summary(pooled(network)).chunk(2, dim=-1)
        return (guess + mean).cpu(), (log_std - n.log1p() / 2).cpu()

    def taste_of(
        self, pairs: Pairs
    ) -> tuple[Float[Tensor, " dim"], Float[Tensor, " dim"]]:
        """Mean and log-deviation of q(z) of one user who judged all these pairs."""
        code = self.read(pairs.both)[2].unflatten(0, (2, 1, -1))
        known = torch.ones(1, len(pairs), dtype=torch.bool)
        mean, log_std = self.posterior(code[0], code[1], known)
        return mean[0], log_std[0]

    def at(self, z: Float[Tensor, " dim"]) -> "PersonalReward":
        """The reward of one taste; it follows the weights."""
        return PersonalReward(self, z)

    def scores(self, tokens: Tokens) -> Float[Tensor, " batch"]:
        """r_0 of each response: its reward averaged over the prior of z."""
        return self.read(tokens)[0]

    def score_all(self, world) -> Float[Tensor, "prompt response"]:
        """r_0 of every response of an exact world, float64."""
        return self.at(torch.zeros(self.dim)).score_all(world)

    def save(self, folder: str | Path) -> None:
        """Write all weights (safetensors)."""
        from safetensors.torch import save_file

        Path(folder).mkdir(parents=True, exist_ok=True)
        weights = {k: v.detach().contiguous() for k, v in self.state_dict().items()}
        save_file(weights, Path(folder) / "reward.safetensors")


@dataclass(frozen=True)
class PersonalReward:
    """The reward of one taste.

    Attributes:
        model: the reward model of many users.
        z: the taste.
    """

    model: LatentReward
    z: Float[Tensor, " dim"]
    members = 1

    def __call__(self, tokens: Tokens) -> Float[Tensor, " batch"]:
        """r_0 + φ·z of each response, reward units."""
        base, slope, _ = self.model.read(tokens)
        return base + slope @ self.z

    def scores(self, tokens: Tokens) -> Float[Tensor, " batch"]:
        """The same, as the protocol of reward models calls it."""
        return self(tokens)

    @torch.no_grad()
    def score_all(self, world, chunk: int = 8192) -> Float[Tensor, "prompt response"]:
        """Reward of every response of an exact world, float64."""
        rows = []
        for prompt in range(world.n_prompts):
            for response in torch.arange(world.n_responses).split(chunk):
                tokens = world.tokens(torch.full_like(response, prompt), response)
                rows.append(self(tokens).double())
        return torch.cat(rows).reshape(world.n_prompts, world.n_responses)
