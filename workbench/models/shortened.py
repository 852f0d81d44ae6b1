"""A model without its last layers: fast, of the same form, and no longer good."""

from pathlib import Path
from typing import Any

from torch import nn

from workbench.models import checkpoint
from workbench.models.policy import Policy


def load(folder: str | Path, layers: int) -> tuple[Policy, Any]:
    """``checkpoint.load``, with the first layers alone.

    Args:
        folder: of a Llama-like checkpoint.
        layers: how many stay; all of them if there are no more.

    Raises:
        BadCheckpoint: as for ``checkpoint.load``.
    """
    policy, tokenizer = checkpoint.load(folder)
    return first_layers(policy, layers), tokenizer


def first_layers(policy: Policy, count: int) -> Policy:
    """Keep the first decoder layers of a Llama-like policy, in place.

    Args:
        policy: one member, not adapted.
        count: layers that stay; all of them if there are no more.

    Returns:
        the policy that was given.
    """
    network: Any = policy.network  # one member: a Network, and no stack
    body = network.model.get_decoder()
    body.layers = nn.ModuleList(list(body.layers)[:count])
    network.model.config.num_hidden_layers = len(body.layers)
    return policy


def last_layers(policy: Policy, count: int, names: tuple[str, ...]) -> tuple[str, ...]:
    """The linear layers of these names in the last decoder layers, for an adapter.

    Args:
        policy: one member.
        count: how many of the decoder layers.
        names: such as ``q_proj``.
    """
    network: Any = policy.network
    total = network.model.config.num_hidden_layers
    first = max(0, total - count)
    kept = [f"layers.{n}.self_attn" for n in range(first, total)]
    return tuple(f"{layer}.{name}" for layer in kept for name in names)
