"""Annotator types of the exact world: the same review, other weights.

``rewards(world)`` with ``games.population`` makes a crowd whose majority preferences
run in circles although each member is Bradley–Terry.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.worlds import gold

# Weight of each attribute (see worlds.gold.attributes) for each type of person.
TYPES = {
    "fan": {"sentiment": 2.0, "fluency": 1.0},
    "editor": {"sentiment": -0.5, "fluency": 1.0, "brevity": 6.0},
    "poet": {"sentiment": -0.5, "fluency": 1.0, "brevity": -1.0, "colour": 6.0},
}
SHARES = {"fan": 0.36, "editor": 0.34, "poet": 0.30}


def reward(world, weights: dict[str, float]) -> Float[Tensor, "prompt response"]:
    """What a person with these weights perceives, reward units."""
    parts = (weight * world.attributes[name] for name, weight in weights.items())
    total = sum(parts, start=torch.zeros((), dtype=torch.float64))
    return total.round(decimals=gold.DIGITS)


def rewards(world) -> Float[Tensor, "type prompt response"]:
    """The rewards of all types, in the order of ``TYPES``."""
    return torch.stack([reward(world, weights) for weights in TYPES.values()])


def shares() -> Float[Tensor, " type"]:
    """How many of each type there are, in the order of ``TYPES``."""
    return torch.tensor([SHARES[name] for name in TYPES], dtype=torch.float64)
