"""REINFORCE leave-one-out: the other answers to a prompt are the baseline.

Objective:
    R_i = r_i − β Σ_t sg(log π_old − log π_ref)_t,  A_i = R_i − mean_{j≠i} R_j,
    L = −A_i log π(y_i|x), the whole response being one action.
    With ``clip``: L = −min(ρA, clip(ρ, 1 ± ε)A), ρ = π(y|x)/π_old(y|x).

Compared with REINFORCE:
    the baseline is the mean of the other k − 1 responses instead of a constant.

Valid only if:
    the k ≥ 2 responses of a prompt are independent, lie side by side, and were drawn at
    temperature 1 from the whole vocabulary; ``clip`` is None only on policy.

Fixed point:
    π*_β ∝ π_ref exp(r/β): the expected gradient is that of E[r] − β KL(π‖π_ref).

Known mistakes:
    (1) the own reward in the baseline: the gradient shrinks by (k − 1)/k.
    (2) the KL not detached: its gradient enters multiplied by log π(y|x).
    (3) the KL added twice, in the reward and in the loss.
    (4) a mean over tokens: long answers weigh less.
    (5) a KL per token instead of per response: the penalty fades with length.
    (6) divided by the group's standard deviation (GRPO): biased.
    (7) responses of different prompts mixed in a group.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.advantages import group_relative, leave_one_out
from workbench.core.card import Card
from workbench.core.kl import k2
from workbench.core.logps import sequence_logps
from workbench.core.surrogate import clipped_gain, importance_ratio
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.loops import online

card = Card(
    key="rloo",
    title="REINFORCE leave-one-out",
    parents=(),
    needs=("rollouts", "reward", "reference", "group"),
    paper="Ahmadian et al. 2024 (2402.14740)",
    check="Its expected gradient, by enumeration, is that of E[r] − β KL.",
    claim="Matches or beats PPO at equal samples, without a critic.",
    notebook="30",
    loop=online,
    scale="beta",
    optimum="beta",
    hooks=("advantages",),
)


@dataclass(frozen=True)
class Config:
    """Settings of RLOO.

    Attributes:
        beta: reward units per nat of KL.
        clip: None for REINFORCE, or how far ρ may leave 1 and still be pushed.
    """

    beta: float = 0.05  # TRL 1.16, RLOOConfig.beta
    clip: float | None = None  # paper, Eq. 8; TRL 1.16: 0.2


def penalised_reward(rollouts: Rollouts, cfg: Config) -> Float[Tensor, " batch"]:
    """R = r − β Σ_t (log π_old − log π_ref)_t, in reward units, without gradient."""
    return rollouts.scores - cfg.beta * rollouts.old_logratio.sum(-1)


def advantages(rollouts: Rollouts, cfg: Config) -> Float[Tensor, "batch time"]:
    """R_i minus the mean of its siblings, the same on every token of a response."""
    reward = penalised_reward(rollouts, cfg)
    return _spread(leave_one_out(reward, rollouts.group), rollouts)


def loss(batch: Rollouts, cfg: Config) -> Float[Tensor, " batch"]:
    """−A log π(y|x) of each response, or its clipped form; reads ``advantages``."""
    advantage = sequence_logps(batch.advantage, batch.mask, "mean").detach()
    logp = sequence_logps(batch.policy, batch.mask)
    if cfg.clip is None:
        return -advantage * logp
    ratio = importance_ratio(logp, sequence_logps(batch.old, batch.mask))
    return -clipped_gain(ratio, advantage, cfg.clip)


def _spread(values: Float[Tensor, " batch"], rollouts: Rollouts) -> Tensor:
    return torch.where(rollouts.mask, values[:, None], 0.0)


def _with(batch: Rollouts, values: Tensor, cfg: Config) -> Tensor:
    return loss(replace(batch, advantages=_spread(values, batch)), cfg)


def _own_in_baseline(batch: Rollouts, cfg: Config) -> Tensor:
    reward = penalised_reward(batch, cfg)
    return _with(batch, group_relative(reward, batch.group, scale=False), cfg)


def _kl_not_detached(batch: Rollouts, cfg: Config) -> Tensor:
    logratio = sequence_logps(batch.policy - batch.ref, batch.mask)
    value = leave_one_out(batch.scores - cfg.beta * logratio, batch.group)
    return -value * sequence_logps(batch.policy, batch.mask)


def _kl_twice(batch: Rollouts, cfg: Config) -> Tensor:
    logratio = sequence_logps(batch.policy - batch.ref.detach(), batch.mask)
    return loss(batch, cfg) + cfg.beta * k2(logratio)


def _mean_over_tokens(batch: Rollouts, cfg: Config) -> Tensor:
    return loss(batch, cfg) / batch.mask.sum(-1)


def _kl_per_token(batch: Rollouts, cfg: Config) -> Tensor:
    kl = sequence_logps(batch.old_logratio, batch.mask, "mean")
    return _with(batch, leave_one_out(batch.scores - cfg.beta * kl, batch.group), cfg)


def _divided_by_std(batch: Rollouts, cfg: Config) -> Tensor:
    return _with(batch, group_relative(penalised_reward(batch, cfg), batch.group), cfg)


def _prompts_mixed(batch: Rollouts, cfg: Config) -> Tensor:
    order = torch.arange(len(batch.scores)).reshape(batch.group, -1).T.flatten()
    mixed = leave_one_out(penalised_reward(batch, cfg)[order], batch.group)
    return _with(batch, mixed[order.argsort()], cfg)


mistakes = {
    "1 own reward in the baseline": _own_in_baseline,
    "2 KL not detached": _kl_not_detached,
    "3 KL added twice": _kl_twice,
    "4 mean over tokens": _mean_over_tokens,
    "5 KL per token": _kl_per_token,
    "6 divided by the group's deviation": _divided_by_std,
    "7 prompts mixed in a group": _prompts_mixed,
}
