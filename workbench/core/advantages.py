"""From rewards to advantages: every baseline is written here once."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def baseline(
    rewards: Float[Tensor, " batch"],
    value: float | Float[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """Reward minus a baseline that must not depend on the response it judges."""
    return rewards - value


def _groups(rewards: Tensor, group: int) -> Tensor:
    if group < 1 or len(rewards) % group:
        raise ValueError(f"{len(rewards)} rewards are no whole groups of {group}")
    return rewards.reshape(-1, group)


def leave_one_out(
    rewards: Float[Tensor, " batch"],
    group: int,
) -> Float[Tensor, " batch"]:
    """R_i minus the mean of the other responses to the same prompt.

    Args:
        rewards: reward units; the ``group`` responses of a prompt lie side by side.
        group: responses per prompt, at least 2.

    Raises:
        ValueError: a group of one has no others, or the groups do not fill the batch.

    Source: Ahmadian et al. 2024 (2402.14740), Eq. 8. Equals k/(k−1)·(R_i − mean R).
    """
    if group < 2:
        raise ValueError("leave-one-out needs at least two responses per prompt")
    grouped = _groups(rewards, group)
    others = (grouped.sum(-1, keepdim=True) - grouped) / (group - 1)
    return (grouped - others).reshape(-1)


def group_relative(
    rewards: Float[Tensor, " batch"],
    group: int,
    scale: bool = True,
    correction: int = 1,
    eps: float = 1e-4,
) -> Float[Tensor, " batch"]:
    """R_i minus the group's mean, divided by its standard deviation if ``scale``.

    Args:
        rewards: reward units; the ``group`` responses of a prompt lie side by side.
        group: responses per prompt.
        scale: divide by the standard deviation (GRPO) or do not (Dr. GRPO).
        correction: 1 divides the variance by n − 1, 0 by n.
        eps: added to the standard deviation.

    Source: Shao et al. 2024 (2402.03300), section 4.1.2.
    """
    grouped = _groups(rewards, group)
    centred = grouped - grouped.mean(-1, keepdim=True)
    if scale:
        centred = centred / (grouped.std(-1, keepdim=True, correction=correction) + eps)
    return centred.reshape(-1)


def gae(
    rewards: Float[Tensor, "batch time"],
    values: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    gamma: float = 1.0,
    lam: float = 0.95,
) -> Float[Tensor, "batch time"]:
    """Generalised advantage estimates over the response tokens.

    δ_t = r_t + γ V(s_{t+1}) − V(s_t) and A_t = δ_t + γλ A_{t+1}; V after the last
    response token is 0. The returns of the critic are A + V, before any whitening.

    Args:
        rewards: reward units, paid when token t is written.
        values: V(s_t) before token t is written.
        mask: True on response tokens, which lie side by side.
        gamma: discount per token.
        lam: 0 is one-step temporal difference, 1 is Monte Carlo.

    Returns:
        advantages in reward units, 0 outside the mask.

    Source: Schulman et al. 2016 (1506.02438), Eq. 16.
    """
    advantage = torch.zeros_like(rewards[:, 0])
    after = torch.zeros_like(advantage)
    columns = []
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * after - values[:, t]
        advantage = torch.where(mask[:, t], delta + gamma * lam * advantage, 0.0)
        after = torch.where(mask[:, t], values[:, t], 0.0)
        columns.append(advantage)
    return torch.stack(columns[::-1], dim=1)


def whiten(
    values: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    keep_mean: bool = False,
    correction: int = 0,
    eps: float = 1e-8,
) -> Float[Tensor, "batch time"]:
    """Scale masked values to unit variance, and centre them unless ``keep_mean``.

    Args:
        values: any unit.
        mask: the entries that count.
        keep_mean: add the mean back, as for rewards in PPO.
        correction: 0 for the population variance (OpenAI's code), 1 for n − 1.
        eps: added to the variance.

    Returns:
        whitened values, 0 outside the mask.
    """
    chosen = values[mask]
    variance = chosen.var(correction=correction)
    scaled = (chosen - chosen.mean()) * torch.rsqrt(variance + eps)
    if keep_mean:
        scaled = scaled + chosen.mean()
    return torch.zeros_like(values).masked_scatter(mask, scaled)
