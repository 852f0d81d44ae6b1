"""Learning from responses that the policy writes itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Unpack

import torch
from torch import Tensor

from workbench.core.contracts import Method, Policy, TrainedCritic, TrainedPolicy, World
from workbench.core.errors import BadCall
from workbench.core.fields import freeze
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.loops import order
from workbench.loops.checks import check_batch, check_method, given, hook
from workbench.loops.model import built
from workbench.loops.run import Run, describe
from workbench.loops.schedule import Schedule, Settings
from workbench.loops.session import Session
from workbench.models.heads import ValueModel
from workbench.models.table_reward import TableReward as TableReward

NAME, TRAINS, ASKS, STEPS = "online", "policy", ("reward",), 100
HOOKS = {"advantages": True} | dict.fromkeys(
    ("returns", "after_step", "implicit_reward", "optimum"), False
)
EVERY = 10  # steps between measures unless told


def fit(
    policy: TrainedPolicy,
    reference: Policy | None,
    world: World,
    reward: Callable[[Tokens], Tensor],
    method: Method,
    cfg: Any,
    *,
    prompts: int = 8,
    group: int = 4,
    critic: TrainedCritic | None = None,
    epochs: int = 1,
    minibatches: int = 1,
    **settings: Unpack[Settings],
) -> Run:
    """Sample, score, estimate advantages, update; again.

    Args:
        policy: what is trained; a stack trains all its seeds at once.
        reference: π_ref, frozen.
        world: where prompts come from.
        reward: of each response, [batch], or of each token, [batch, time].
        method: a module with ``advantages(rollouts, cfg)`` and ``loss(rollouts, cfg)``;
            with a critic also ``returns(rollouts, cfg)``.
        cfg: the method's Config.
        prompts: prompts per batch and member, taken in turn.
        group: responses per prompt.
        critic: a ValueModel trained beside the policy.
        epochs: passes over each batch of rollouts.
        minibatches: optimiser steps per pass.
        settings: the attributes of ``loops.schedule.Schedule``; ``steps``, the batches
            of rollouts, is required, and ``batch_size`` is prompts × group.

    Returns:
        the run.

    Raises:
        NonFiniteLoss: a loss is NaN or infinite.
        BadCall: the parts do not fit together; the sentence says which.
    """
    check_method(method, cfg, reference)
    if critic is None and hook(method, "returns") is not None:
        raise BadCall(f"{method.card.key} learns with a critic; give critic=ValueModel")
    after_step = hook(method, "after_step")
    reference = given(reference, NAME)
    settings.setdefault("every", EVERY)
    plan = Schedule(**settings)
    more = {"loop": NAME, "prompts": prompts, "group": group, "epochs": epochs,
            "minibatches": minibatches}  # fmt: skip
    session = Session(policy, plan, critic, config=describe(method, cfg) | more)
    for step in session:
        asked = torch.arange(step * prompts, (step + 1) * prompts) % world.n_prompts
        asked = asked.repeat_interleave(group)
        tokens = policy.sample(world, asked, session.generator(step))
        rollouts = collect(policy, reference, critic, tokens, reward, group)
        rollouts = judge(rollouts, method, cfg, policy.members)
        for epoch in range(epochs):
            stream = session.generator(step, f"order {epoch}")
            for rows in order.minibatches(
                len(tokens), policy.members, group, minibatches, stream
            ):
                part = tokens[rows]
                now = replace(rollouts[rows], policy=policy.token_logps(part))
                if critic is not None:
                    now = replace(now, values=critic.values(part))
                check_batch(method, now)
                session.step(method.loss(freeze(now), cfg))
                if after_step is not None:
                    after_step(policy, cfg)
    return session.finish()


@torch.no_grad()
def collect(
    policy: Policy, reference: Policy, critic: TrainedCritic | None, tokens: Tokens,
    reward: Callable[[Tokens], Tensor], group: int,
) -> Rollouts:  # fmt: skip
    """What is known of the responses when they are sampled."""
    old, paid = policy.token_logps(tokens), reward(tokens)
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


def drive(problem: Any, method: Method, cfg: Any, schedule: Settings) -> Run:
    """Train a method on a problem: see ``core.contracts.Loop``."""
    critic = None
    if hook(method, "returns") is not None:
        critic = built(problem, method, cfg, ValueModel.tiny)
    # a clipped ratio has something to clip from the second pass on
    epochs = problem.epochs or (2 if critic is not None else 1)
    return fit(
        problem.start(), problem.reference, problem.world, problem.reward, method, cfg,
        prompts=max(1, Schedule(**schedule).batch_size // problem.group),
        group=problem.group, critic=critic, epochs=epochs, **schedule,
    )  # fmt: skip
