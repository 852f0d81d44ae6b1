"""Proximal policy optimisation for language models, part by part.

Objective:
    r_t = −β (log π_old − log π_ref)_t + 1[t = T]·r(x, y);  A = GAE(r, V_old), whitened;
    ρ_t = π(y_t|s_t)/π_old(y_t|s_t);  G = A + V_old with A before whitening;
    L = Σ_t −min(ρA, clip(ρ, 1 ± ε)A) + ½c_v max((V − G)², (clip(V, V_old ± ε_v) − G)²).

Compared with RLOO:
    a token is an action; a learned V with GAE replaces the siblings' mean; the ratio
    and its clip allow several epochs on one batch.

Valid only if:
    π_old sampled at temperature 1 without dropout: ρ = 1 in the first epoch, the best
    unit test of a loop; scores are on the scale that β was chosen for.

Fixed point:
    π*_β with the soft values V*(s): there A_t = 0 on every token of every sample.

Known mistakes:
    (1) the KL in the reward taken of the policy that learns: it moves over the epochs.
    (2) the score paid in the last column, padding or not, instead of the last token.
    (3) the mean subtracted from the token rewards: a bonus or a fine for length.
    (4) returns built from whitened advantages.
    (5) the value of padding bootstrapped, where V after the end is 0.
    (6) the clip without the minimum: a token moved the wrong way is not called back.

Left out: OpenAI's ``whiten_rewards``, token rewards scaled to variance 1 before GAE.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from workbench.core import edits
from workbench.core.advantages import gae, whiten
from workbench.core.card import Card
from workbench.core.logps import Reduce, sequence_logps
from workbench.core.surrogate import clipped_error, clipped_gain, importance_ratio
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.loops import online

card = Card(
    key="ppo", title="Proximal policy optimisation", parents=("rloo",),
    needs=("rollouts", "reward", "reference", "value head"), notebook="31",
    paper="Schulman et al. 2017 (1707.06347); Ziegler et al. 2019 (1909.08593)",
    check="At ρ = 1, λ = 1, V = 0 its gradient is REINFORCE's; at π*_β with V*, A = 0.",
    claim="Whitening and clipping stabilise; many epochs hurt without the clip.",
    loop=online, scale="beta", optimum="beta", hooks=("advantages", "returns"),
)  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Settings of PPO; "OpenAI" is Ziegler et al. 2019, without its whiten_rewards."""

    beta: float = 0.05  # reward units per nat; TRL's kl_coef, OpenAI adapts it
    gamma: float = 1.0  # discount per token; OpenAI
    lam: float = 0.95  # λ of GAE; OpenAI
    clip: float = 0.2  # ε of ρ; Schulman et al. 2017, Table 3
    clip_value: float = 0.2  # ε_v of V, reward units; OpenAI
    value_weight: float = 0.1  # c_v; OpenAI
    whiten: bool = True  # advantages to mean 0, variance 1 over the batch; OpenAI
    reduce: Reduce = "sum"  # ours: lengths vary, and "mean" weighs tokens by 1/length


def token_rewards(rollouts: Rollouts, cfg: Config) -> Float[Tensor, "batch time"]:
    """−β times the log-ratio of each token, plus the score on the last one."""
    return rollouts.paid - cfg.beta * rollouts.old_logratio


def fill(rollouts: Rollouts, rewards: Tensor, cfg: Config) -> Rollouts:
    """The rollouts with the advantages and returns that these token rewards give."""
    values, mask = rollouts.old_value.detach(), rollouts.mask
    estimate = gae(rewards, values, mask, cfg.gamma, cfg.lam)
    scaled = whiten(estimate, mask) if cfg.whiten else estimate
    targets = torch.where(mask, estimate + values, 0.0)
    return replace(rollouts, advantages=scaled, returns=targets)


def advantages(rollouts: Rollouts, cfg: Config) -> Float[Tensor, "batch time"]:
    """GAE of the token rewards, whitened over the batch if ``cfg.whiten``."""
    return fill(rollouts, token_rewards(rollouts, cfg), cfg).advantage


def returns(rollouts: Rollouts, cfg: Config) -> Float[Tensor, "batch time"]:
    """What the critic is to predict: GAE before any whitening, plus V_old."""
    return fill(rollouts, token_rewards(rollouts, cfg), cfg).target


def policy_loss(batch: Rollouts, cfg: Config) -> Float[Tensor, " batch"]:
    """−min(ρA, clip(ρ)A) over the tokens of each response; reads ``advantages``."""
    ratio = importance_ratio(batch.policy, batch.old)
    gain = clipped_gain(ratio, batch.advantage, cfg.clip)
    return -sequence_logps(gain, batch.mask, cfg.reduce)


def value_loss(batch: Rollouts, cfg: Config) -> Float[Tensor, " batch"]:
    """Clipped squared error of V over the tokens; reads ``returns``."""
    known = (batch.old_value, batch.target, cfg.clip_value)
    return sequence_logps(clipped_error(batch.value, *known), batch.mask, cfg.reduce)


def loss(batch: Rollouts, cfg: Config) -> Float[Tensor, " batch"]:
    """Policy loss plus weighted value loss of each response."""
    return policy_loss(batch, cfg) + cfg.value_weight * value_loss(batch, cfg)


def _moving_kl(batch: Rollouts, cfg: Config) -> Tensor:
    rewards = token_rewards(replace(batch, old=batch.policy), cfg)
    return loss(fill(batch, rewards, cfg), cfg)


def _last_column(batch: Rollouts, cfg: Config) -> Tensor:
    score = pad(batch.scores[:, None], (batch.mask.shape[1] - 1, 0))
    return loss(fill(batch, score - cfg.beta * batch.old_logratio, cfg), cfg)


def _mean_subtracted(batch: Rollouts, cfg: Config) -> Tensor:
    rewards = token_rewards(batch, cfg)
    return loss(fill(batch, rewards - rewards[batch.mask].mean(), cfg), cfg)


def _padding_value(batch: Rollouts, cfg: Config) -> Tensor:
    filled = fill(edits.unmasked(batch), token_rewards(batch, cfg), cfg)
    return loss(replace(filled, mask=batch.mask), cfg)


def _no_minimum(batch: Rollouts, cfg: Config) -> Tensor:
    ratio = importance_ratio(batch.policy, batch.old).clamp(1 - cfg.clip, 1 + cfg.clip)
    policy = -sequence_logps(ratio * batch.advantage, batch.mask, cfg.reduce)
    return policy + cfg.value_weight * value_loss(batch, cfg)


mistakes = {
    "1 KL of the policy that learns": _moving_kl,
    "2 score in the last column": _last_column,
    "3 mean reward subtracted": _mean_subtracted,
    "4 returns from whitened advantages": edits.with_batch(
        loss, returns=lambda batch: batch.advantages + batch.old_values
    ),
    "5 value of padding bootstrapped": _padding_value,
    "6 clip without the minimum": _no_minimum,
}
