"""Soft backup: the exact value of every prefix, from the leaves to the root.

Objective:
    Q*(s, a) = r(s, a) + V*(s·a), with V* = 0 and the whole reward at the end;
    V*(s) = β log Σ_a π_ref(a|s) exp(Q*(s, a)/β);
    π*(a|s) = π_ref(a|s) exp((Q*(s, a) − V*(s))/β).

Compared with Bellman's backup:
    the maximum over actions becomes a soft maximum that pays β for each nat away from
    π_ref. β → 0 is the maximum; β → ∞ is the mean, the value V^ref of π_ref itself.

Valid only if:
    appending a token is deterministic. With a user's turn in between, the expectation
    over it stands outside the logarithm.

Fixed point:
    π* of the tree is π*_β over responses, V*(root) = β log Z, and along every path
    Σ_{i ≥ t} (r_i − β log π*/π_ref) = V*(s_t), without variance.

Known mistakes:
    (1) the reference counted twice: β log π_ref added to this Q. It belongs to the
        max-entropy form, Q + β log π_ref, whose logarithm has no π_ref.
    (2) the mean instead of the soft maximum: V^ref, never above V*.
    (3) the end of sequence left out of the actions.
    (4) β forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.card import Card
from workbench.worlds.tree import PrefixTree

card = Card(
    key="soft_backup",
    title="Soft values on the prefix tree",
    parents=(),
    needs=("reward", "reference"),
    paper="Ziebart 2010; Rafailov et al. 2024 (2404.12358)",
    check="V*(root) = β log Z, and the policy of the tree is π*_β.",
    claim="None, a ruler: the advantage Q* − V* is the credit of a token.",
    notebook="60",
)


Conditionals = Float[Tensor, "*lead node action"]
Reward = Float[Tensor, "*lead response"]


@dataclass(frozen=True)
class Config:
    """Settings of the backup."""

    beta: float = 0.3  # reward units per nat; ours: a proxy's gold peak on reviews


@dataclass(frozen=True)
class SoftValues:
    """Values V(s) and Q(s, a) in reward units, and log-probs of their policy."""

    V: Float[Tensor, "*lead node"]
    Q: Conditionals
    log_policy: Conditionals

    @property
    def advantage(self) -> Conditionals:
        """Q − V: what a token adds."""
        return self.Q - self.V[..., None]


def _upwards(tree: PrefixTree, ref: Tensor, reward: Tensor, combine: Callable):
    """V and Q of all nodes; ``combine(log π_ref, Q)`` of a node is its V."""
    below = reward[..., tree.level(tree.depth)]
    values, actions = [], []
    for length in reversed(range(tree.depth)):
        words = below.unflatten(-1, (-1, tree.n_words))
        end = reward[..., tree.level(length), None]
        actions.append(torch.cat([words, end], dim=-1))
        below = combine(ref[..., tree.level(length), :], actions[-1])
        values.append(below)
    return torch.cat(values[::-1], dim=-1), torch.cat(actions[::-1], dim=-2)


def backup(
    tree: PrefixTree, ref: Conditionals, reward: Reward, beta: float
) -> SoftValues:
    """V*, Q* and π* of every prefix.

    Args:
        tree: the responses.
        ref: log π_ref(a|s) in nats; the last action is the end.
        reward: reward of whole responses, paid with their last token.
        beta: reward units per nat, positive.
    """

    def soft_maximum(logps: Tensor, q: Tensor) -> Tensor:
        return beta * (logps + q / beta).logsumexp(-1)

    V, Q = _upwards(tree, ref, reward, soft_maximum)
    return SoftValues(V, Q, ref + (Q - V[..., None]) / beta)


def linear(tree: PrefixTree, ref: Conditionals, reward: Reward) -> SoftValues:
    """V^ref(s) = E[r | s] under π_ref, the limit of V* for β → ∞."""
    V, Q = _upwards(tree, ref, reward, lambda logps, q: (logps.exp() * q).sum(-1))
    return SoftValues(V, Q, ref)


def maximum(tree: PrefixTree, ref: Conditionals, reward: Reward) -> SoftValues:
    """V^max(s), the best reward in reach, V* for β → 0; π_ref on the best tokens."""

    def best(logps: Tensor, q: Tensor) -> Tensor:
        return torch.where(logps > -torch.inf, q, -torch.inf).amax(-1)

    V, Q = _upwards(tree, ref, reward, best)
    kept = torch.where(Q == V[..., None], ref, -torch.inf)
    return SoftValues(V, Q, kept.log_softmax(-1))


def _no_end(tree, ref, reward, beta) -> SoftValues:
    no_end = ref.clone()
    no_end[..., -1] = -torch.inf
    return backup(tree, no_end.log_softmax(-1), reward, beta)


mistakes: dict[str, Callable[..., SoftValues]] = {
    "1 reference counted twice": lambda tree, ref, reward, beta: backup(
        tree, 2 * ref, reward, beta
    ),
    "2 mean instead of soft maximum": lambda tree, ref, reward, beta: linear(
        tree, ref, reward
    ),
    "3 end of sequence left out": _no_end,
    "4 beta forgotten": lambda tree, ref, reward, beta: backup(tree, ref, reward, 1.0),
}
