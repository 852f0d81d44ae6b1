"""Learning from responses that the policy writes itself."""

from collections import deque
from collections.abc import Sequence
from typing import Any, Unpack

import torch

from workbench.core.contracts import Method, Policy, TrainedCritic, TrainedPolicy, World
from workbench.core.errors import BadCall
from workbench.core.fields import freeze
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.loops import order
from workbench.loops.checks import check_batch, check_method, given, hook
from workbench.loops.experience import Reward, again, collect, judge
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
    reward: Reward | Sequence[Reward],
    method: Method,
    cfg: Any,
    *,
    prompts: int = 8,
    group: int = 4,
    critic: TrainedCritic | None = None,
    epochs: int = 1,
    minibatches: int = 1,
    replay: int = 0,
    **settings: Unpack[Settings],
) -> Run:
    """Sample, score, estimate advantages, update; again.

    Args:
        policy: what is trained; a stack trains all its seeds at once.
        reference: π_ref, frozen.
        world: where prompts come from.
        reward: of each response, [batch], or of each token, [batch, time]. Several
            rewards of responses add up, and a method reads each of them in
            ``rollouts.part_scores``.
        method: a module with ``advantages(rollouts, cfg)`` and ``loss(rollouts, cfg)``;
            with a critic also ``returns(rollouts, cfg)``.
        cfg: the method's Config.
        prompts: prompts per batch and member, taken in turn.
        group: responses per prompt.
        critic: a ValueModel trained beside the policy.
        epochs: passes over each batch of rollouts.
        minibatches: optimiser steps per pass.
        replay: how many earlier batches are learned from again beside each new one,
            with the log-probs, scores and advantages of their time.
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
    if replay and settings.get("resume"):
        raise BadCall("a run with replay cannot be resumed: its memory is not kept")
    after_step = hook(method, "after_step")
    reference = given(reference, NAME)
    settings.setdefault("every", EVERY)
    plan = Schedule(**settings)
    more = {"loop": NAME, "prompts": prompts, "group": group, "epochs": epochs,
            "minibatches": minibatches, "replay": replay}  # fmt: skip
    memory: deque[tuple[Tokens, Rollouts]] = deque(maxlen=1 + replay)
    session = Session(policy, plan, critic, config=describe(method, cfg) | more)
    for step in session:
        asked = torch.arange(step * prompts, (step + 1) * prompts) % world.n_prompts
        asked = asked.repeat_interleave(group)
        tokens = policy.sample(world, asked, session.generator(step))
        rollouts = collect(policy, reference, critic, tokens, reward, group)
        memory.append((tokens, judge(rollouts, method, cfg, policy.members)))
        for epoch in range(epochs):
            stream = session.generator(step, f"order {epoch}")
            for tokens, rollouts in memory:
                for rows in order.minibatches(
                    len(tokens), policy.members, group, minibatches, stream
                ):
                    now = again(policy, critic, tokens[rows], rollouts[rows])
                    check_batch(method, now)
                    session.step(method.loss(freeze(now), cfg))
                    if after_step is not None:
                        after_step(policy, cfg)
    return session.finish()


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
