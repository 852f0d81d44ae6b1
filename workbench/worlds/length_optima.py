"""Where losses that take a mean over tokens end, for exact worlds."""

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.worlds.solutions import LogDistribution, Reward

_BISECTIONS = 100
_ENDS = 1e3  # reward units


def per_token_optimum(
    base: LogDistribution,
    reward: Reward,
    beta: float,
    tokens: Int[Tensor, " response"],
) -> LogDistribution:
    """π(y) = base(y)·exp(|y|(r(y) + c)/β), with the c that makes it sum to 1.

    Bradley–Terry labels of reward r fix β/|y| times the log-ratio to the base, up to
    one constant c. The sum grows with c, so bisection finds it. With π_ref as the base
    it is the minimiser of length-normalised DPO; with a base of 1 for every response
    (zeros) that of SimPO at γ = 0: every token costs the same there.

    Args:
        base: log of the base, which need not sum to 1.
        reward: r(x, y), reward units; below a thousand in size.
        beta: reward units per (nat per token).
        tokens: |y|, the end token included where one is written.
    """
    base, reward = torch.broadcast_tensors(base.double(), reward.double())
    low, high = (torch.full_like(reward[..., :1], c) for c in (-_ENDS, _ENDS))
    for _ in range(_BISECTIONS):
        c = (low + high) / 2
        heavy = (base + tokens * (reward + c) / beta).logsumexp(-1, True) > 0
        low, high = torch.where(heavy, low, c), torch.where(heavy, c, high)
    return base + tokens * (reward + low) / beta
