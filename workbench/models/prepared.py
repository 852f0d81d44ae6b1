"""What a method needs that brings its own data, model or way of writing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from workbench.feedback.kind import DataSet


@dataclass(frozen=True)
class Prepared:
    """One seed of a method that is more than a loss on ready-made labels.

    A method whose card has the hook ``prepare`` returns one from
    ``prepare(labels, world, reference, cfg, seed)``; every driver trains on it.

    Attributes:
        data: a data set for the offline loop.
        policy: what is trained; one member.
        reference: what ``data.reference_logps`` reads.
        response_logps: from the trained policy to log π(y|x) of all responses of the
            exact world; None where the policy is measured as any other.
    """

    data: DataSet
    policy: nn.Module
    reference: Any
    response_logps: Callable[[Any], Float[Tensor, "prompt response"]] | None = None
