"""Sampled responses as a method reads them: collected, judged, read again later."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from workbench.core.contracts import Method, Policy, TrainedCritic
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.loops.checks import hook

Reward = Callable[[Tokens], Tensor]


@torch.no_grad()
def collect(
    policy: Policy, reference: Policy, critic: TrainedCritic | None, tokens: Tokens,
    reward: Reward | Sequence[Reward], group: int,
) -> Rollouts:  # fmt: skip
    """What is known of the responses when they are sampled."""
    old, parts = policy.token_logps(tokens), None
    if callable(reward):
        paid = reward(tokens)
    else:
        parts = torch.stack([one(tokens) for one in reward], -1).to(old.dtype)
        paid = parts.sum(-1)
    dense = paid.dim() == 2
    total = torch.where(tokens.mask, paid, 0.0).sum(-1) if dense else paid
    return Rollouts(
        policy=old,
        old=old,
        ref=reference.token_logps(tokens).to(old.dtype),
        mask=tokens.mask,
        scores=total.to(old.dtype),
        group=group,
        old_values=None if critic is None else critic.values(tokens),
        token_scores=paid.to(old.dtype) if dense else None,
        part_scores=parts,
    )


def judge(rollouts: Rollouts, method: Method, cfg: Any, members: int) -> Rollouts:
    """Advantages (and the critic's targets), each member of a stack on its own."""
    parts = [
        rollouts[rows]
        for rows in torch.arange(len(rollouts.scores)).unflatten(0, (members, -1))
    ]
    advantages = hook(method, "advantages", must=True)
    values = torch.cat([advantages(p, cfg) for p in parts])
    judged = replace(rollouts, advantages=values)
    if rollouts.old_values is None:
        return judged
    returns = hook(method, "returns", must=True)
    return replace(judged, returns=torch.cat([returns(p, cfg) for p in parts]))


def again(
    policy: Policy, critic: TrainedCritic | None, tokens: Tokens, rollouts: Rollouts
) -> Rollouts:
    """The rollouts with the log-probs and values of the models as they are now."""
    now = replace(rollouts, policy=policy.token_logps(tokens))
    return now if critic is None else replace(now, values=critic.values(tokens))
