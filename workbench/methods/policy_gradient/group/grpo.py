"""Group-relative policy optimisation: the other answers to a prompt are the critic.

Objective:
    L_t = −min(ρ_t A, clip(ρ_t, 1 − ε_low, 1 + ε_high) A) + β k3(log π/π_ref)_t, where
    ρ_t = π/π_old of token t, and A = r − mean of r over the k responses to the prompt,
    over their deviation + ε_s if ``scale``. L is Σ_t L_t over |y| ("response"), over
    the group's mean |y| ("token", DAPO) or over ``length`` ("constant", Dr. GRPO).

Compared with PPO:
    mean and deviation of the group replace critic and GAE; the KL is in the loss.

Valid only if:
    k ≥ 2 independent responses of the policy to each prompt lie side by side. "token"
    counts over a group, as DAPO's objective: no other prompt, no other member of a
    stack changes what y weighs. TRL counts over the batch: a group then weighs its
    tokens over the mean of all groups; and TRL's KL is that of ``weigh_kl``.

Fixed point:
    not π*_β. At ρ = 1, E ∇L is −(k − 1)/k ∇E[r]/length for "constant" without scale;
    "response" weighs y by 1/|y|, scale weighs prompts: for 0/1 rewards and large k it
    climbs 2 arcsin √p, p the chance of 1. k3 pulls along ∇KL(π_ref‖π) of each token,
    ``weigh_kl`` along ∇KL(π‖π_ref). One token, k = 2, scale: π = π_ref/(1 − a/β) with
    a(y) = E_π sign(r(y) − r(y′))/√2, so that only the order of r counts.

Known mistakes:
    (1) mean and deviation of the batch: prompts are mixed.
    (2) k1 for k3 in the loss: its expected gradient is 0.
    (3) the KL to π_old for that to π_ref: it holds one step, not the run.
    (4) the clip left out.
    (5) π_old taken of the policy that learns: ρ = 1, and nothing is ever clipped.
    (6) padding counted as tokens.
    (7) always a mean per response, whatever ``aggregation`` says.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits, kl
from workbench.core.advantages import group_relative
from workbench.core.card import Card
from workbench.core.logps import sequence_logps
from workbench.core.surrogate import importance_ratio
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.loops import online

card = Card(
    key="grpo", title="Group-relative policy optimisation", parents=("ppo",),
    needs=("rollouts", "reward", "reference", "group"), notebook="30a",
    loop=online, hooks=("advantages",),
    paper="Shao et al. 2024 (2402.03300); Yu et al. 2025 (2503.14476), the DAPO form",
    check="By enumeration, its gradient has the length and difficulty bias as stated.",
    claim="Improves a model as PPO does, without the memory of a critic.",
)  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Settings of GRPO; Dr. GRPO is "constant" without scale at β = 0."""

    beta: float = 0.04  # reward units per nat; paper, section 4.2; TRL 1.16: 0
    clip_low: float = 0.2  # TRL 1.16
    clip_high: float = 0.2  # TRL 1.16; DAPO: 0.28
    aggregation: Literal["response", "token", "constant"] = "response"  # paper, Eq. 3
    length: float = 1.0  # tokens; ours: it only scales the step of "constant"
    scale: bool = True  # paper, section 4.1.2; Dr. GRPO: False
    correction: int = 1  # TRL 1.16: the variance of k rewards is divided by k − 1
    eps: float = 1e-4  # ε_s, reward units; TRL 1.16
    weigh_kl: bool = False  # paper, Eq. 3; TRL 1.16 multiplies k3 by ρ


def advantages(rollouts: Rollouts, cfg: Config) -> Float[Tensor, "batch time"]:
    """A of each response, the same on each of its tokens."""
    if rollouts.group < 2:
        raise ValueError("grpo compares at least two responses per prompt")
    how = (rollouts.group, cfg.scale, cfg.correction, cfg.eps)
    relative = group_relative(rollouts.scores, *how)
    return torch.where(rollouts.mask, relative[:, None], 0.0)


def aggregate(values: Tensor, batch: Rollouts, cfg: Config) -> Float[Tensor, " batch"]:
    """Token values as one per response, whose mean is that which the config names."""
    total, length = sequence_logps(values, batch.mask), batch.mask.sum(-1)
    if cfg.aggregation == "constant":
        return total / cfg.length
    if cfg.aggregation == "token":
        whole = length.reshape(-1, batch.group).sum(-1).repeat_interleave(batch.group)
        total, length = total * batch.group, whole
    return total / length.clamp(min=1)


def loss(batch: Rollouts, cfg: Config) -> Float[Tensor, " batch"]:
    """β k3 minus the clipped gain of each response; reads ``advantages``."""
    value, ratio = batch.advantage.detach(), importance_ratio(batch.policy, batch.old)
    kept = ratio.clamp(1 - cfg.clip_low, 1 + cfg.clip_high)
    gain = torch.minimum(ratio * value, kept * value)
    cost = cfg.beta * kl.k3(batch.policy - batch.ref.detach())
    return aggregate((ratio * cost if cfg.weigh_kl else cost) - gain, batch, cfg)


def _of_the_batch(batch: Rollouts, cfg: Config) -> Tensor:
    value = advantages(replace(batch, group=len(batch.scores)), cfg)
    return loss(replace(batch, advantages=value), cfg)


def _k1(batch: Rollouts, cfg: Config) -> Tensor:
    ratio = batch.policy - batch.ref
    return loss(batch, cfg) + cfg.beta * aggregate(ratio - kl.k3(ratio), batch, cfg)


mistakes = {
    "1 mean and deviation of the batch": _of_the_batch,
    "2 k1 for k3": _k1,
    "3 KL to the old policy": edits.with_batch(loss, ref=lambda batch: batch.old),
    "4 no clip": edits.with_config(loss, clip_low=1.0, clip_high=float("inf")),
    "5 rho is always 1": edits.with_batch(loss, old=lambda batch: batch.policy),
    "6 padding counted as tokens": edits.mask_ignored(loss),
    "7 always a mean per response": edits.with_config(loss, aggregation="response"),
}
