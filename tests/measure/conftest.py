"""A world of 73 responses per prompt, its reference, a gold reward and a bad proxy."""

import pytest
import torch

from workbench.core.seeds import generator
from workbench.models.policy import TabularPolicy
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


class Stack:
    """Tables as one policy with member-major rows."""

    def __init__(self, world, logps_list):
        self.tables = [TabularPolicy(world, logps) for logps in logps_list]
        self.members = len(logps_list)

    def response_logps(self, world=None):
        return torch.stack([t.response_logps() for t in self.tables])

    def token_logps(self, tokens):
        n = len(tokens) // self.members
        parts = [t.token_logps(tokens[i * n : (i + 1) * n])
                 for i, t in enumerate(self.tables)]  # fmt: skip
        return torch.cat(parts)


@pytest.fixture(scope="session")
def stack():
    """``stack(world, logps_list)``: a policy with one member per table."""
    return Stack
