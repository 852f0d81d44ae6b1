"""What a method needs that brings its own data, model or way of writing."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Stage:
    """One seed of a method that is more than a loss on ready-made labels.

    A method module that defines ``stage(supply, world, reference, cfg, seed)`` returns
    one; the arena then trains on it.

    Attributes:
        data: a data set for the offline loop.
        policy: what is trained; one member.
        reference: what ``data.reference_logps`` reads.
        law: from the trained policy to log π(y|x) of all responses of the exact world.
    """

    data: object
    policy: nn.Module
    reference: object
    law: Callable[[nn.Module], Float[Tensor, "prompt response"]]
