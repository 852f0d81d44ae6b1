"""The policy gradient of every possible group of responses: its mean and its noise.

With few responses and small groups nothing is sampled: all groups are enumerated, each
with its probability.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Advantage = Callable[[Float[Tensor, " batch"], int], Float[Tensor, " batch"]]


def every_group(
    pi: Float[Tensor, " response"],
    rewards: Float[Tensor, " response"],
    advantage: Advantage,
    k: int,
) -> tuple[Float[Tensor, "group response"], Float[Tensor, "group 1"]]:
    """The gradient of each of the nᵏ groups in the n logits, and its probability.

    Args:
        pi: probabilities of the responses to one prompt.
        rewards: of the same responses, reward units.
        advantage: from the rewards of groups of k, side by side, to advantages; such
            as ``core.advantages.leave_one_out``.
        k: responses per group; nᵏ groups are held in memory.
    """
    groups = torch.cartesian_prod(*[torch.arange(len(pi))] * k).reshape(-1, k)
    score = torch.eye(len(pi), dtype=pi.dtype) - pi  # a row per y: ∇ log π(y)
    A = advantage(rewards[groups].flatten(), k).reshape(-1, k, 1)
    return (A * score[groups]).mean(1), pi[groups].prod(-1, keepdim=True)


def mean(pi, rewards, advantage, k: int) -> Float[Tensor, " response"]:
    """The expected gradient; the arguments are those of ``every_group``."""
    gradient, chance = every_group(pi, rewards, advantage, k)
    return (chance * gradient).sum(0)


def variance(pi, rewards, advantage, k: int) -> float:
    """The variance of one group's gradient, summed over the logits."""
    gradient, chance = every_group(pi, rewards, advantage, k)
    away = gradient - (chance * gradient).sum(0)
    return (chance * away**2).sum().item()


def follow(
    pi: Float[Tensor, " response"],
    push: Callable[[Tensor], Tensor],
    steps: int = 800,
    size: float = 0.5,
) -> Float[Tensor, "step response"]:
    """The policies on the way of a gradient in the logits, the start left out.

    Args:
        pi: where it starts.
        push: from a policy to a gradient in its logits.
        steps: how many.
        size: what the gradient is multiplied by.
    """
    path, now = [], pi
    for _ in range(steps):
        now = (now.log() + size * push(now)).softmax(0)
        path.append(now)
    return torch.stack(path)
