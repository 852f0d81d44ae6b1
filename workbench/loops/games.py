"""Learning against an opponent, from preferences that no reward may explain."""

from collections.abc import Callable
from typing import Any, Unpack

import torch
from torch import Tensor

from workbench.core.contracts import ExactWorld, Method, Policy, TrainedPolicy
from workbench.core.fields import freeze
from workbench.feedback.kinds.game_rollouts import GameRollouts
from workbench.loops.checks import check_batch, check_method, given, hook
from workbench.loops.run import Run, describe
from workbench.loops.schedule import Schedule, Settings
from workbench.loops.session import Session

NAME, TRAINS, ASKS, STEPS = "games", "policy", ("preference", "tree"), 100
HOOKS = {"opponent": True, "implicit_reward": False, "optimum": False}
BATCH = 64  # games per step and member, and how often they are measured, unless told
EVERY = 10


def fit(
    policy: TrainedPolicy,
    reference: Policy | None,
    world: ExactWorld,
    preference: Callable[[Tensor, Tensor, Tensor], Tensor],
    method: Method,
    cfg: Any,
    **settings: Unpack[Settings],
) -> Run:
    """Sample a response and an opponent's, ask who wins, update; again.

    Args:
        policy: what is trained; a stack trains all its seeds at once.
        reference: π_ref, frozen.
        world: an exact world: the opponent is a distribution over whole responses.
        preference: ``(prompt, response, opponent) -> [batch]``, p(y ≻ y′).
        method: a module with ``opponent(logps, ref_logps, cfg)`` and ``loss``.
        cfg: the method's Config.
        settings: the attributes of ``loops.schedule.Schedule``; ``steps`` is required.

    Returns:
        the run.

    Raises:
        NonFiniteLoss: a loss is NaN or infinite.
        BadCall: the parts do not fit together; the sentence says which.
    """
    check_method(method, cfg, reference)
    opponent = hook(method, "opponent", must=True)
    reference = given(reference, NAME)
    settings.setdefault("batch_size", BATCH)
    settings.setdefault("every", EVERY)
    plan = Schedule(**settings)
    more = {"loop": NAME, "batch_size": plan.batch_size}
    session = Session(policy, plan, config=describe(method, cfg) | more)
    with torch.no_grad():
        ref_logps = reference.response_logps(world)
    prompt = torch.arange(plan.batch_size) % world.n_prompts
    for step in session:
        with torch.no_grad():
            tokens = policy.sample(world, prompt, session.generator(step))
            logps = policy.response_logps(world)
            against = opponent(logps, ref_logps.expand_as(logps), cfg)
            against = against.reshape(-1, world.n_prompts, world.n_responses)
            stream = session.generator(step, "opponent")
            rivals = torch.cat(
                [world.draw_for(one, prompt, stream).response for one in against]
            )
            wins = preference(tokens.prompt, tokens.response, rivals)
            ref = reference.token_logps(tokens)
        logps = policy.token_logps(tokens)
        games = GameRollouts(
            logps, ref.to(logps.dtype), tokens.mask, wins.to(logps.dtype)
        )
        check_batch(method, games)
        session.step(method.loss(freeze(games), cfg))
    return session.finish()


def drive(problem: Any, method: Method, cfg: Any, schedule: Settings) -> Run:
    """Train a method on a problem: see ``core.contracts.Loop``."""
    start, reference, world = problem.start(), problem.reference, problem.world
    return fit(start, reference, world, problem.preference, method, cfg, **schedule)
