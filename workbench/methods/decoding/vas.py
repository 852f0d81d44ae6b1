"""Value-augmented sampling: a learned value steers a frozen policy, token by token.

Objective:
    fit V to the policy's own value by TD(λ): L = Σ_t ½ (V(s_t) − sg[A_t + V_old(s_t)])²
    with A = GAE(score on the last token, V_old). Then write with the logits
    z′(v) = z(v) + b · (V(s·v) − mean over the top k of V(s·)), v in the top k of z.

Compared with soft values:
    V is learned from samples and is V^ref = E[r | s] of the frozen policy, not V*. With
    V* in its place and b = 1/β the decoder is exactly π*_β.

Valid only if:
    responses were drawn from the frozen policy, without a KL in the reward; V(s·v) of a
    finished response is its reward. Labelled pairs are drawn until their two responses
    differ, so frequent ones are a little too rare among them. The centring is not
    cosmetic: tokens outside the top k keep their logits, so the bonus must be 0 on
    average over those inside.

Fixed point:
    V^ref for every λ. b → ∞ over the whole vocabulary is greedy policy improvement; b
    finite lies between π_ref and it, with E[r] − KL/b at least that of π_ref.

Known mistakes:
    (1) the score paid at every prefix instead of the last token.
    (2) padding counted: the mask ignored.
    (3) the critic that learns as its own target, with the gradient left in.
    (4) the score left out: V chases itself.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.advantages import gae
from workbench.core.card import Card
from workbench.core.logps import Reduce, sequence_logps
from workbench.feedback.kinds.scored_prefixes import ValueRollouts
from workbench.loops import values
from workbench.models.policy import Policy
from workbench.models.steered_policy import SteeredPolicy, next_values

card = Card(
    key="vas",
    title="Value-augmented sampling",
    parents=("soft_backup",),
    needs=("rollouts", "reward", "reference", "value head"),
    paper="Han et al. 2024 (2405.06639)",
    check="Decoding with V* and b = 1/β is π*_β; the fixed point of the fit is V^ref.",
    claim="Approaches best-of-128 at lower cost, and beats PPO on the same data.",
    notebook="60",
    loop=values,
    hooks=("decode",),
)

Actions = Float[Tensor, "*lead action"]


@dataclass(frozen=True)
class Config:
    """Settings of value-augmented sampling.

    Attributes:
        strength: b, nats per reward unit: 1/β of the other methods.
        top_k: candidates that are steered; at least the vocabulary for all of them.
        gamma: discount per token.
        lam: λ of TD(λ), 1 for Monte Carlo.
        reduce: ``"sum"`` or ``"mean"`` over the tokens of a response.
    """

    strength: float = 3.0  # authors' code, example
    top_k: int = 20  # authors' code
    gamma: float = 1.0  # authors' code
    lam: float = 0.95  # authors' code
    reduce: Reduce = "sum"  # authors' code, up to one factor: a mean over all tokens


def targets(batch: ValueRollouts, cfg: Config) -> Float[Tensor, "batch time"]:
    """TD(λ) returns A + V_old, reward units, 0 outside the mask."""
    old = batch.old_values.detach()
    estimate = gae(batch.rewards, old, batch.mask, cfg.gamma, cfg.lam)
    return torch.where(batch.mask, estimate + old, 0.0)


def loss(batch: ValueRollouts, cfg: Config) -> Float[Tensor, " batch"]:
    """Half the squared error of V over the tokens of each response."""
    error = (batch.values - targets(batch, cfg)) ** 2 / 2
    return sequence_logps(error, batch.mask, cfg.reduce)


def next_token_logits(base_logits: Actions, values: Actions, cfg: Config) -> Actions:
    """Logits of the steered policy.

    Args:
        base_logits: logits of the frozen policy at a prefix.
        values: V of the prefix with each candidate appended, reward units.
        cfg: ``strength`` and ``top_k``.
    """
    top = base_logits.topk(min(cfg.top_k, base_logits.shape[-1]), dim=-1).indices
    candidates = values.gather(-1, top)
    bonus = cfg.strength * (candidates - candidates.mean(-1, keepdim=True))
    return base_logits.scatter_add(-1, top, bonus.to(base_logits))


def decode(model, reference: Policy, cfg: Config) -> SteeredPolicy:
    """The reference, steered by V of the prefix that each candidate makes.

    Args:
        model: a critic; its ``after(ids)`` is V of the prefix that ends with each
            token, and that of a finished response is its reward.
        reference: one policy.
        cfg: ``strength`` and ``top_k``.
    """

    def steer(critic, ids: Tensor, logits: Tensor) -> Tensor:
        top = logits.topk(min(cfg.top_k, logits.shape[-1]), dim=-1).indices
        known = next_values(critic, ids, top).to(logits)
        values = torch.zeros_like(logits).scatter(-1, top, known)
        return next_token_logits(logits, values, cfg)

    return SteeredPolicy(reference, model, steer)


def _paid_everywhere(batch: ValueRollouts, cfg: Config) -> Tensor:
    rewards = torch.where(batch.mask, batch.scores[:, None], 0.0)
    old = batch.old_values.detach()
    estimate = gae(rewards, old, batch.mask, cfg.gamma, cfg.lam)
    error = (batch.values - estimate - old) ** 2 / 2
    return sequence_logps(error, batch.mask, cfg.reduce)


def _own_target(batch: ValueRollouts, cfg: Config) -> Tensor:
    estimate = gae(batch.rewards, batch.values, batch.mask, cfg.gamma, cfg.lam)
    return sequence_logps(estimate**2 / 2, batch.mask, cfg.reduce)


mistakes = {
    "1 score paid at every prefix": _paid_everywhere,
    "2 padding counted": edits.instead(
        loss, lambda batch, cfg: ((batch.values - targets(batch, cfg)) ** 2 / 2).sum(-1)
    ),
    "3 gradient through the target": _own_target,
    "4 score left out": edits.with_batch(loss, scores=lambda batch: 0 * batch.scores),
}
