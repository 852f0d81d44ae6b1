"""Implicit language Q-learning: a critic of tokens, learned from rated responses.

Objective:
    three terms at every token y_t of a response, written in the prefix s_t:
    TD     (r_t + γ sg[V(s_{t+1})] − Q(s_t, y_t))²; r is the score, at the last token
           alone, and V = 0 behind it;
    value  L_τ(sg[Q̄(s_t, y_t)] − V(s_t)) with L_τ(u) = |τ − 1(u < 0)| u²;
    CQL    α (log Σ_a exp Q(s_t, a) − Q(s_t, y_t)).
    Q̄ is a slow copy, Q̄ ← (1 − ρ) Q̄ + ρ Q after each step. Each of two heads has a TD
    and a CQL term of its own; the value term reads the smaller Q̄. Then write with the
    logits z(a) + b (Q̄(s, a) − V(s)).

Compared with VAS:
    V is no mean over the policy that wrote but a high expectile: what the better
    continuations in the data earn, whoever wrote them. Q has a number for every token,
    so a token costs one pass of the critic, not one for each candidate.

Valid only if:
    what follows a token is certain: a high expectile takes luck for skill. Q of tokens
    that no response holds is told by CQL alone, or not at all. The authors' policy is
    trained on the same data; ours is π_ref, whoever wrote. V is the same for all
    tokens, so it does not change what is written. Two responses share no prefix once
    they part: a table joins nothing, and only a network carries over what it learned.

Fixed point:
    of a table, with α = 0, γ = 1, one head, Q̄ = Q, and μ the data distribution. Each
    derivative is 0 where Q(s, a) = r + V(s·a) for all tokens that μ writes, and
    Σ_a μ(a|s) |τ − 1(Q < V)| (Q(s, a) − V(s)) = 0: V is the τ-expectile of Q.
    τ = ½: the mean, so V = V^μ = E_μ[r | s]. τ → 1: the maximum over what μ writes,
    max Q − V ≤ (1 − τ)/(τ μ(a*|s)) · (max Q − min Q), and V^max over its support.
    α > 0: Q − r − V(s·a) = ½ α (1 − softmax(Q)_a/μ(a|s)). Its mean under μ is ½ α times
    softmax(Q) of the tokens that μ never writes. With soft V* and Q* in their place
    and b = 1/β the decoder is π*_β.

Known mistakes:
    (1) a gradient through V(s_{t+1}): the target moves towards what it judges.
    (2) no slow copy: V follows the Q that learns.
    (3) τ the wrong way round: V sinks to the worst token.
    (4) the score paid at every token instead of the last one.
    (5) V of padding counted as what follows the last token.
    (6) padding counted: the mask ignored.
    (7) the mean of the two slow heads instead of the smaller.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.logps import Reduce, sequence_logps
from workbench.feedback.kinds.token_values import TokenValues
from workbench.loops import values
from workbench.models.policy import Policy
from workbench.models.q_heads import TokenCritic
from workbench.models.steered_policy import SteeredPolicy

card = Card(
    key="ilql",
    title="Implicit language Q-learning",
    parents=("vas",),
    needs=("responses", "reward", "reference", "value head"),
    paper="Snell et al. 2022 (2206.11871)",
    check="V is V^μ of the data at τ = ½ and tends to V^max over its support at τ → 1.",
    claim="Learns more from data of mixed quality than imitation of the best part.",
    notebook="60a",
    loop=values,
    hooks=("build", "decode", "after_step"),
)


@dataclass(frozen=True)
class Config:
    """Settings of ILQL; the authors' are those for comments on Reddit.

    Attributes:
        tau: τ of the expectile, ½ for the mean, near 1 for the maximum.
        gamma: discount per token.
        cql: α, weight of the CQL term, reward units.
        polyak: ρ, share of Q in its slow copy at each step.
        heads: Q heads.
        strength: b, nats per reward unit: 1/β of the other methods.
        reduce: ``"sum"`` or ``"mean"`` over the tokens of a response.
    """

    tau: float = 0.6  # authors' code
    gamma: float = 0.99  # authors' code
    cql: float = 0.25  # authors' code
    polyak: float = 0.005  # authors' code
    heads: int = 2  # authors' code
    strength: float = 8.0  # authors' code
    reduce: Reduce = "sum"  # authors' code, up to one factor: a mean over all tokens


def build(vocab, cfg: Config, seed: int) -> TokenCritic:
    """A fresh critic with Q = V = 0."""
    return TokenCritic.tiny(vocab, cfg.heads, seed=seed)


def after_step(model, cfg: Config) -> None:
    """Move the slow copy."""
    model.follow(cfg.polyak)


def advantage(
    target: Float[Tensor, "*lead head token"], v: Float[Tensor, "*lead"]
) -> Float[Tensor, "*lead token"]:
    """Q̄ − V of every token, Q̄ the smaller of the heads, reward units."""
    return target.amin(-2) - v[..., None]


def decode(model, reference: Policy, cfg: Config) -> SteeredPolicy:
    """The reference, with b times the advantage added to its logits."""

    def steer(critic, ids: Tensor, logits: Tensor) -> Tensor:
        read, last = critic.after(ids), slice(-logits.shape[1], None)
        bonus = cfg.strength * advantage(read.target[:, last], read.v[:, last])
        return logits + bonus.to(logits)

    return SteeredPolicy(reference, model, steer)


def goals(batch: TokenValues, cfg: Config) -> Float[Tensor, "batch time"]:
    """r + γ V of the next prefix, a constant."""
    return (batch.rewards + cfg.gamma * batch.next_v).detach()


def loss(batch: TokenValues, cfg: Config, goals=goals) -> Float[Tensor, " batch"]:
    """TD error of Q, expectile error of V and the CQL term of each response."""
    td = ((batch.taken_q - goals(batch, cfg)[..., None]) ** 2).sum(-1)
    gap = batch.target.detach().amin(-1) - batch.v
    value = torch.where(gap < 0, 1 - cfg.tau, cfg.tau) * gap**2
    price = (batch.q.logsumexp(-1) - batch.taken_q).sum(-1)
    return sequence_logps(td + value + cfg.cql * price, batch.mask, cfg.reduce)


def _with_goals(wrong: Callable[[TokenValues, Config], Tensor]) -> edits.Loss:
    return edits.instead(loss, lambda batch, cfg: loss(batch, cfg, wrong))


mistakes = {
    "1 gradient through the next value": _with_goals(
        lambda batch, cfg: batch.rewards + cfg.gamma * batch.next_v
    ),
    "2 no slow copy": edits.with_batch(loss, target=lambda batch: batch.taken_q),
    "3 expectile turned round": edits.with_config(loss, tau=lambda cfg: 1 - cfg.tau),
    "4 score paid at every token": _with_goals(
        lambda batch, cfg: batch.scores[:, None] + cfg.gamma * batch.next_v.detach()
    ),
    "5 padding follows the end": _with_goals(
        lambda batch, cfg: batch.rewards + cfg.gamma * batch.v.detach().roll(-1, 1)
    ),
    "6 padding counted": edits.mask_ignored(loss),
    "7 mean of the slow heads": edits.with_batch(
        loss, target=lambda b: b.target.mean(-1, keepdim=True).expand_as(b.target)
    ),
}
