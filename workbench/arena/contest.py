"""The contest: one budget, one labelling, one row a method and seed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from workbench.arena.entrants import Entrant
from workbench.arena.grounds import Ground
from workbench.core.errors import MissingInput, NonFiniteGradient, WorkbenchError
from workbench.feedback.supply import kind
from workbench.loops import offline
from workbench.loops.order import batch


@dataclass(frozen=True)
class Budget:
    """What every method may spend.

    Attributes:
        steps: optimiser steps.
        batch_size: pairs a step; lists and single responses are so many that a step
            reads as many responses.
        lr: Adam's step size.
    """

    steps: int = 100
    batch_size: int = 32
    lr: float = 1e-3


def compare(
    entrants: Iterable[Entrant],
    ground: Ground,
    budget: Budget | None = None,
    progress: Callable[[str], None] = lambda line: None,
):
    """Train every entrant from the reference on the ground's labels, and measure it.

    Args:
        entrants: objectives.
        ground: world, labels and measures.
        budget: the same for all.
        progress: called with a line a method.

    Returns:
        DataFrame, a row a method and seed: method, world, data, outside, the columns of
        ``Judge``, seconds (of training, all seeds together), problem (why a
        method of the library has no numbers; empty otherwise).

    Raises:
        WorkbenchError: an objective from a file fails; one of the library is recorded.
    """
    import pandas as pd

    budget, parts = budget or Budget(), []
    for entrant in entrants:
        try:
            run = _run_staged if entrant.stage else _run
            frame = run(entrant, ground, budget)
        except WorkbenchError as error:
            if entrant.outside:
                raise
            frame = pd.DataFrame({"seed": list(ground.seeds), "problem": str(error)})
        frame.insert(0, "method", entrant.key)
        frame.insert(1, "world", ground.name)
        own = "own" if entrant.stage else kind(entrant.batch_class)
        frame.insert(2, "data", own)
        frame.insert(3, "outside", entrant.outside)
        parts.append(frame)
        progress(_line(frame))
    return pd.concat(parts, ignore_index=True)


def _line(frame) -> str:
    first = frame.iloc[0]
    if first["problem"]:
        return f"{first['method']}: {first['problem']}"
    gold, kl = frame["gold"].mean(), frame["kl"].mean()
    return f"{first['method']}: gold {gold:.2f}, KL {kl:.2f} nats"


def _run(entrant: Entrant, ground: Ground, budget: Budget):
    data = ground.data(entrant.batch_class)
    policy = ground.reference.copies(len(ground.seeds))
    size = max(1, round(budget.batch_size * len(data) / len(ground.pairs)))
    _first_gradient(entrant, ground, data, policy, size)
    run = offline.fit(
        policy, ground.reference, data, entrant, entrant.cfg, steps=budget.steps,
        batch_size=size, lr=budget.lr, seed=ground.seeds[0], every=budget.steps,
    )  # fmt: skip
    frame = ground.judge(run.policy, entrant.score)
    return frame.assign(seconds=run.seconds, problem="")


def _run_staged(entrant: Entrant, ground: Ground, budget: Budget):
    """A method with data or a model of its own: seed by seed, measured by its law."""
    import pandas as pd

    if not ground.is_exact:
        raise MissingInput("its stage needs a world whose responses are all known")
    parts, seconds = [], 0.0
    for place, seed in enumerate(ground.seeds):
        supply = ground.supplies[place]
        stage = entrant.stage(supply, ground.world, ground.reference, entrant.cfg, seed)
        size = round(budget.batch_size * len(stage.data) / len(supply.pairs))
        run = offline.fit(
            stage.policy, stage.reference, stage.data, entrant, entrant.cfg,
            steps=budget.steps, batch_size=min(max(size, 8), len(stage.data)),
            lr=budget.lr, seed=seed, every=budget.steps,
        )  # fmt: skip
        with torch.no_grad():
            law = stage.law(run.policy)
        parts.append(ground.judge.of_law(law, place, entrant.beta))
        seconds += run.seconds
    return pd.concat(parts, ignore_index=True).assign(seconds=seconds, problem="")


def _first_gradient(entrant, ground: Ground, data, policy, size: int) -> None:
    """At π = π_ref every log-ratio is 0, where √ and division fail first.

    Raises:
        NonFiniteGradient: some gradient of the weights is NaN or infinite there.
    """
    rows = batch(ground.seeds[0], policy.members, 0, len(data), size)
    losses = entrant.loss(data.batch(policy, rows, data.ref), entrant.cfg)
    found = torch.autograd.grad(
        losses.sum(), list(policy.parameters()), allow_unused=True
    )
    if losses.isfinite().all() and not all(
        g.isfinite().all() for g in found if g is not None
    ):
        raise NonFiniteGradient(entrant.key, "at the first step, where π = π_ref")
