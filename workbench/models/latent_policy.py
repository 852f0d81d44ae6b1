"""A policy that writes from a code: an encoder, a decoder, and the code to use.

The encoder reads a whole response and returns a code z of a few numbers. The decoder
is a causal language model; z, mapped to its width, is added to the embedding of the
first prompt token, which all later tokens see. ``ideal`` is a code that is learned.
"""

import copy
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core.errors import BadCall
from workbench.core.logps import token_logps
from workbench.core.tokens import Tokens
from workbench.models import tiny
from workbench.models.network import Network, Stacked
from workbench.models.policy import Policy, sample_enumerated


def _encoder(vocab, dim: int, width: int, layers: int, seed: int) -> Network:
    from transformers import LlamaForSequenceClassification

    shape = tiny.config(vocab, width, layers)
    shape.num_labels = dim
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForSequenceClassification(shape)
        nn.init.normal_(model.score.weight, std=width**-0.5)
    return Network(model)


class LatentPolicy(nn.Module):
    """A decoder with a soft prefix, the encoder of its codes, and the ideal code.

    Args:
        decoder: the policy that a code steers; trained along. Llama-style.
        encoder: a network with the numbers of a code at every position.
        ideal: z* to start from, [dim].

    The prefix starts at 0, so before training every code gives the decoder itself.
    """

    members = 1

    def __init__(self, decoder: Policy, encoder: Network, ideal: Float[Tensor, " dim"]):
        super().__init__()
        width = decoder.network.config.hidden_size
        self.decoder, self.encoder = decoder, encoder
        self.prefix = nn.Linear(len(ideal), width, bias=False)
        nn.init.zeros_(self.prefix.weight)
        self.ideal = nn.Parameter(ideal.detach().clone())

    @classmethod
    def tiny(
        cls, decoder: Policy, vocab, dim: int = 8, width: int = 64, layers: int = 2,
        seed: int = 0,
    ) -> "LatentPolicy":  # fmt: skip
        """A trainable copy of a decoder with a fresh encoder; z* ~ 2·N(0, I).

        Args:
            decoder: a policy with one member, e.g. ``tiny.reference(world)``.
            vocab: the world's vocabulary.
            dim: numbers of a code.
            width: hidden size of the encoder.
            layers: blocks of the encoder.
            seed: of the encoder's weights and of z*.
        """
        encoder = _encoder(vocab, dim, width, layers, seed)
        noise = torch.Generator().manual_seed(seed)
        ideal = 2 * torch.randn(dim, generator=noise)
        trained = Policy(copy.deepcopy(decoder.network)).requires_grad_(True)
        return cls(trained, encoder, ideal)

    def codes(self, tokens: Tokens) -> Float[Tensor, "batch dim"]:
        """z(y) of each response, read at its last token (never at padding)."""
        values = self.encoder(tokens.ids)
        position = torch.arange(values.shape[1])
        last = torch.where(tokens.attention, position, 0).argmax(-1)
        return values[torch.arange(len(values)), last]

    def token_logps(
        self, tokens: Tokens, codes: Float[Tensor, "batch dim"] | None = None
    ) -> Float[Tensor, "batch time"]:
        """log π(token | before, z) in nats on response tokens, 0 elsewhere.

        Args:
            tokens: the responses.
            codes: z of each row; the codes of the responses themselves if None.
        """
        codes = self.codes(tokens) if codes is None else codes
        logits = _steered(self.decoder.network, tokens.ids, self.prefix(codes))
        return token_logps(logits + self.decoder.ban, tokens.ids, tokens.mask)

    def at(self, code: Float[Tensor, " dim"]) -> "ConditionedPolicy":
        """The policy π(·|x, z) of one code, to be measured; it follows the weights."""
        return ConditionedPolicy(
            self.decoder.network, self.prefix(code.detach()).detach()
        )

    def at_ideal(self) -> "ConditionedPolicy":
        """The policy π(·|x, z*) that is used in the end."""
        return self.at(self.ideal)

    def save(self, folder: str | Path) -> None:
        """Write all weights and z* (safetensors)."""
        from safetensors.torch import save_file

        Path(folder).mkdir(parents=True, exist_ok=True)
        weights = {k: v.detach().contiguous() for k, v in self.state_dict().items()}
        save_file(weights, Path(folder) / "context.safetensors")


def _steered(
    network: Network | Stacked,
    ids: Int[Tensor, "batch time"],
    shift: Float[Tensor, "batch width"],
) -> Float[Tensor, "batch time vocab"]:
    """Logits of a Llama whose first embedding is moved.

    Raises:
        BadCall: it is a stack.
    """
    if isinstance(network, Stacked):
        raise BadCall("a code steers a single decoder, not a stack of several")
    inner = network.model.model
    embedded = inner.embed_tokens(ids)
    first = embedded[:, :1] + shift[:, None]
    embedded = torch.cat([first, embedded[:, 1:]], dim=1)
    hidden = inner(inputs_embeds=embedded, use_cache=False)[0]
    return network.model.lm_head(hidden).float()


class ConditionedPolicy(Policy):
    """A decoder at one code: what measures and samplers know as a policy.

    Args:
        network: the decoder's network.
        shift: what is added to the first embedding, [width].
    """

    shift: Tensor

    def __init__(self, network: Network | Stacked, shift: Float[Tensor, " width"]):
        super().__init__(network)
        self.register_buffer("shift", shift, persistent=False)

    def logits(
        self, ids: Int[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time vocab"]:
        """Next-token logits after each token, −inf at forbidden tokens."""
        shift = self.shift.expand(len(ids), -1)
        return _steered(self.network, ids, shift) + self.ban

    def token_logps(self, tokens: Tokens) -> Float[Tensor, "batch time"]:
        """log π(token | before) in nats on response tokens, 0 elsewhere."""
        return token_logps(self.logits(tokens.ids), tokens.ids, tokens.mask)

    @torch.no_grad()
    def sample(
        self, world, prompt, generator: torch.Generator, temperature: float = 1.0
    ) -> Tokens:
        """One response to each prompt, from the enumerated distribution of a world."""
        return sample_enumerated(self, world, prompt, generator, temperature)
