"""Gradient checkpointing: layers keep their inputs, and run again in the backward pass.

transformers marks the layers; what a marked layer keeps is decided here, since our
models never leave evaluation mode: a layer is told that it trains only while it looks
whether to be run again, and has no dropout in either pass.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from workbench.core.errors import BadOption


def mark(model: Any) -> None:
    """Have every layer of a transformers model run again in the backward pass.

    Raises:
        BadOption: transformers has no way to do so for this family.
    """
    layers = _layers(model)
    if not layers:
        raise BadOption(
            f"--checkpointing: transformers cannot run the layers of "
            f"{model.config.model_type} again"
        )
    for layer in layers:
        layer.gradient_checkpointing = True
        layer._gradient_checkpointing_func = partial(_again, layer)


@contextmanager
def listening(model: Any) -> Iterator[None]:
    """Marked layers keep their inputs only, where there is a backward pass to come."""
    layers = _layers(model) if torch.is_grad_enabled() else []
    try:
        for layer in layers:
            layer.training = True  # of the layer itself, not of what is in it
        yield
    finally:
        for layer in layers:
            layer.training = False


def _layers(model: Any) -> list[Any]:
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]


def _again(layer: nn.Module, forward: Callable, *given: Any) -> Any:
    """A layer's outputs, without what led to them."""

    def still(*given: Any) -> Any:
        before, layer.training = layer.training, False
        try:
            return forward(*given)
        finally:
            layer.training = before

    # not reentrant: frozen inputs, as those of an adapter, need no gradient
    return checkpoint(still, *given, use_reentrant=False)
