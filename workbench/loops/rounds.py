"""Rounds: the policy writes pairs, somebody labels them, it learns; and writes again.

One loop for iterative DPO, SPPO, INPO, XPO and their kin: what differs is the loss. A
step of the loop is a round. A round that takes one update is online learning; one that
takes many solves the round's own problem before the next begins.
"""

from collections.abc import Callable
from typing import Any, Unpack

import torch
from torch import Tensor

from workbench.core.contracts import Method, Policy, TrainedPolicy, World
from workbench.core.errors import BadCall
from workbench.core.fields import freeze
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.pairs import Pairs, in_order
from workbench.feedback.kinds.round_pairs import RoundPairs
from workbench.loops import order
from workbench.loops.checks import check_batch, check_method, hook
from workbench.loops.run import Run, describe
from workbench.loops.schedule import Schedule, Settings
from workbench.loops.session import Session

NAME, TRAINS, ASKS, STEPS = "rounds", "policy", ("preference",), 60
HOOKS = {"implicit_reward": False, "optimum": False, "after_step": False}
EVERY = 10  # rounds between measures unless told

Preference = Callable[[Tokens, Tokens], Tensor]


def fit(
    policy: TrainedPolicy,
    reference: Policy | None,
    world: World,
    preference: Preference,
    method: Method,
    cfg: Any,
    *,
    updates: int = 1,
    **settings: Unpack[Settings],
) -> Run:
    """Write pairs, have them labelled, update; again from the last iterate.

    Args:
        policy: what is trained; a stack trains all its seeds at once.
        reference: π_ref, frozen; the policy that began a round, π_t, is kept beside.
        world: where prompts come from.
        preference: ``(first, second) -> [batch]``, p(first ≻ second); one label is
            drawn from it for each pair.
        method: a module whose ``loss(batch, cfg)`` reads ``RoundPairLogps``, or any
            loss on pairs.
        cfg: the method's Config.
        updates: passes over the pairs of a round: 1 takes one step on them, many solve
            the round's problem.
        settings: the attributes of ``loops.schedule.Schedule``; ``steps``, the rounds,
            is required, and ``batch_size`` is the pairs per round and member.

    Returns:
        the run.

    Raises:
        NonFiniteLoss: a loss is NaN or infinite.
        BadCall: the parts do not fit together; the sentence says which.
    """
    check_method(method, cfg, reference)
    if updates < 1:
        raise BadCall(f"a round takes at least one update, not {updates}")
    after_step = hook(method, "after_step")
    settings.setdefault("every", EVERY)
    plan = Schedule(**settings)
    more = {"loop": NAME, "batch_size": plan.batch_size, "updates": updates}
    session = Session(policy, plan, config=describe(method, cfg) | more)
    for step in session:
        first = step * plan.batch_size
        asked = torch.arange(first, first + plan.batch_size) % world.n_prompts
        data = collect(policy, world, preference, asked, session, step)
        ref = data.reference_logps(reference)
        for update in range(updates):
            stream = session.generator(step, f"order {update}")
            for rows in order.minibatches(len(data), policy.members, 1, 1, stream):
                batch = freeze(data.batch(policy, rows, ref))
                check_batch(method, batch)
                session.step(method.loss(batch, cfg), data.weight[rows])
                if after_step is not None:
                    after_step(policy, cfg)
    return session.finish()


@torch.no_grad()
def collect(
    policy: Policy,
    world: World,
    preference: Preference,
    asked: Tensor,
    session: Session,
    step: int,
) -> RoundPairs:
    """Two responses of the policy to each prompt, with a label drawn for each pair.

    Twice the same response is a pair that teaches nothing: its weight is 0.
    """
    sides = [
        policy.sample(world, asked, session.generator(step, name))
        for name in ("first", "second")
    ]
    one, two = sides
    chance = preference(one, two).double()
    stream = session.generator(step, "label")
    wins = torch.rand(chance.shape, generator=stream, dtype=torch.float64) < chance
    chosen, rejected = in_order(one, two, wins)
    pairs = Pairs(chosen, rejected, (~one.same(two)).double())
    return RoundPairs.of(pairs, policy, torch.where(wins, chance, 1 - chance))


def drive(problem: Any, method: Method, cfg: Any, schedule: Settings) -> Run:
    """Train a method on a problem: see ``core.contracts.Loop``."""
    return fit(
        problem.start(), problem.reference, problem.world, problem.prefers, method, cfg,
        updates=problem.epochs or 1, **schedule,
    )  # fmt: skip
