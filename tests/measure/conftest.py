"""A world of 73 responses a prompt, its reference, a gold reward and a bad proxy."""

import pytest
import torch

from workbench.core.seeds import generator
from workbench.worlds.reviews import Reviews


@pytest.fixture(scope="session")
def world():
    return Reviews(max_words=2)


@pytest.fixture(scope="session")
def ref(world):
    return world.author


@pytest.fixture(scope="session")
def gold(world):
    return world.gold


@pytest.fixture(scope="session")
def proxy(world, gold):
    """Right in the bulk, wrong about a few rare responses: an extremal error."""
    noise = torch.randn(gold.shape, generator=generator(0, "proxy"), dtype=gold.dtype)
    rare = world.author < world.author.quantile(0.15, dim=-1, keepdim=True)
    return gold + 0.2 * noise + 3.0 * rare * (gold < 0)


@pytest.fixture(scope="session")
def other(ref):
    """A policy that is no tilt of the reference by any reward of the world."""
    noise = torch.randn(ref.shape, generator=generator(1, "other"), dtype=ref.dtype)
    return (ref + noise).log_softmax(-1)
