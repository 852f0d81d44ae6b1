"""Decoders small enough to train while a student watches."""

from importlib.resources import as_file, files
from typing import Any

import torch

from workbench.core.errors import MissingInput
from workbench.models.device import place
from workbench.models.network import Network
from workbench.models.policy import Policy

REFERENCES = files("workbench") / "data" / "reference"


def config(vocab, width: int = 64, layers: int = 2, max_tokens: int = 64):
    """The transformers configuration of a tiny Llama-style decoder.

    Args:
        vocab: the world's vocabulary.
        width: hidden size; heads are 16 wide, the MLP twice the width.
        layers: decoder blocks.
        max_tokens: longest sequence, prompt included.
    """
    from transformers import LlamaConfig

    # what every configuration takes, beside what it declares
    more: dict[str, Any] = {
        "attn_implementation": "eager",  # fastest for sequences of ten tokens
        "forbidden_token_ids": list(vocab.forbidden),
    }
    return LlamaConfig(
        vocab_size=len(vocab.tokens),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 16),
        max_position_embeddings=max_tokens,
        pad_token_id=vocab.pad,
        bos_token_id=None,
        eos_token_id=vocab.eos,
        tie_word_embeddings=False,
        **more,
    )


def decoder(vocab, width: int = 64, layers: int = 2, seed: int = 0, **size) -> Policy:
    """A freshly initialised policy; the same seed gives the same weights."""
    from transformers import LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config(vocab, width, layers, **size))
    return Policy(Network(model))


def reference(world, device: str = "cpu") -> Policy:
    """The shipped π_ref of a world, frozen: a tiny decoder trained on its corpus.

    ``data/make_reference.py`` is its recipe.

    Args:
        world: an exact world of 2 to 5 words, or stories.
        device: where it runs, and every copy made of it; see ``device.pick``.

    Raises:
        MissingInput: no reference is shipped for this world.
    """
    name = f"{world.name}-{world.max_words}"
    if not is_shipped(world):
        there = ", ".join(_shipped())
        raise MissingInput(f"no reference is shipped for {name}; there are {there}")
    with as_file(REFERENCES / name) as folder:
        policy = Policy.load(folder)
    return place(policy.requires_grad_(False).eval(), device)


def is_shipped(world) -> bool:
    """Whether a reference of this world and size comes with the package."""
    return f"{world.name}-{world.max_words}" in _shipped()


def _shipped() -> list[str]:
    return sorted(entry.name for entry in REFERENCES.iterdir())
