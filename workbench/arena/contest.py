"""The contest: one budget, one labelling, one row a method and seed."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor

from workbench.arena.entrants import Entrant
from workbench.arena.grounds import Ground
from workbench.arena.watched import MEASURED, START, BadMethod, alone, told
from workbench.core.errors import (
    MissingInput,
    NonFiniteGradient,
    WorkbenchError,
    printable,
)
from workbench.core.fields import tensors
from workbench.feedback.labels import kind
from workbench.loops import offline
from workbench.loops.order import batch


class NoNumbers(WorkbenchError, ArithmeticError):
    """A policy cannot be measured: its numbers are NaN or infinite."""


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
        BadMethod, NonFiniteGradient: an objective from a file fails; what fails of the
            library is recorded.
    """
    import pandas as pd

    budget, parts = budget or Budget(), []
    for entrant in entrants:
        parts.append(enter(entrant, ground, budget))
        progress(line(parts[-1]))
    return pd.concat(parts, ignore_index=True)


def enter(entrant: Entrant, ground: Ground, budget: Budget):
    """Train one entrant from the reference, and measure it: its rows of ``compare``.

    Raises:
        BadMethod, NonFiniteGradient: an objective from a file fails.
    """
    import pandas as pd

    trained = _Trained(entrant)
    try:
        run = _run_staged if entrant.stage else _run
        with alone(ground.seeds[0]):
            frame = run(trained, ground, budget)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # one failure does not end a contest of many
        problem = _told(error, trained)
        frame = pd.DataFrame({"seed": list(ground.seeds), "problem": problem})
    frame.insert(0, "method", entrant.key)
    frame.insert(1, "world", ground.name)
    own = "own" if entrant.stage else kind(entrant.batch_class)
    frame.insert(2, "data", own)
    frame.insert(3, "outside", entrant.outside)
    return frame


def _told(error: BaseException, trained: "_Trained") -> str:
    """A failure in one line, for the table; an error, if the entrant is a guest."""
    entrant = trained.card
    own = isinstance(error, WorkbenchError)
    said = str(error) if own else told(error, entrant.file)
    if entrant.file is None:
        return " ".join(printable(said).split())
    if isinstance(error, BadMethod | NonFiniteGradient):
        raise error
    raise BadMethod(entrant.file, "cannot take part", said, trained.phase) from error


def line(frame) -> str:
    """One entrant's rows in a sentence."""
    first = frame.iloc[0]
    if first["problem"]:
        return f"{first['method']}: {first['problem']}"
    gold, kl = frame["gold"].mean(), frame["kl"].mean()
    return f"{first['method']}: gold {gold:.2f}, KL {kl:.2f} nats"


def _run(trained: "_Trained", ground: Ground, budget: Budget):
    entrant = trained.card
    data = ground.data(entrant.batch_class)
    policy = ground.reference.copies(len(ground.seeds))
    size = max(1, round(budget.batch_size * len(data) / len(ground.pairs)))
    _first_gradient(entrant, ground, data, policy, size)
    run = offline.fit(
        policy, ground.reference, data, trained, None, steps=budget.steps,
        batch_size=size, lr=budget.lr, seed=ground.seeds[0], every=budget.steps,
    )  # fmt: skip
    trained.phase = MEASURED
    frame = _finite(ground.judge(run.policy, entrant.score))
    return frame.assign(seconds=run.seconds, problem="")


def _run_staged(trained: "_Trained", ground: Ground, budget: Budget):
    """A method with data or a model of its own: seed by seed, measured by its law."""
    import pandas as pd

    if not ground.is_exact:
        raise MissingInput("its stage needs a world whose responses are all known")
    entrant, parts, seconds = trained.card, [], 0.0
    for place, seed in enumerate(ground.seeds):
        supply = ground.supplies[place]
        stage = entrant.stage(supply, ground.world, ground.reference, entrant.cfg, seed)
        size = round(budget.batch_size * len(stage.data) / len(supply.pairs))
        trained.begin()
        run = offline.fit(
            stage.policy, stage.reference, stage.data, trained, None,
            steps=budget.steps, batch_size=min(max(size, 8), len(stage.data)),
            lr=budget.lr, seed=seed, every=budget.steps,
        )  # fmt: skip
        with torch.no_grad():
            law = stage.law(run.policy)
        parts.append(ground.judge.of_law(law, place, entrant.beta))
        seconds += run.seconds
    frame = _finite(pd.concat(parts, ignore_index=True))
    return frame.assign(seconds=seconds, problem="")


class _Trained:
    """An entrant as a loop sees it: its calls are the steps, and are numbered.

    Attributes:
        card: the entrant.
        phase: where its training is.
    """

    def __init__(self, entrant: Entrant):
        self.card = entrant
        self.begin()

    def begin(self) -> None:
        """The next call is the first step of a run."""
        self.phase, self._steps = START, count()

    def loss(self, batch: Any, cfg: None) -> Tensor:
        """One value per example; a gradient that is not finite ends the training."""
        self.phase, entrant = f"at step {next(self._steps)}", self.card
        where = f"{self.phase} ({entrant.file})" if entrant.file else self.phase

        def check(gradient: Tensor) -> None:
            if not gradient.isfinite().all():
                raise NonFiniteGradient(entrant.key, where)

        for value in tensors(batch).values():
            if value.requires_grad:
                value.register_hook(check)
        if entrant.file is not None:
            return entrant.loss(batch, entrant.cfg, self.phase)
        return entrant.loss(batch, entrant.cfg)


def _finite(frame):
    """The same measures, if they are numbers.

    Raises:
        NoNumbers: training has ruined the policy.
    """
    numbers = frame.select_dtypes("number").filter(regex="(?<!_stderr)$")
    lost = [name for name in numbers if not numbers[name].map(math.isfinite).all()]
    if lost:
        raise NoNumbers(f"after training {', '.join(lost)} are not finite; smaller lr?")
    return frame


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
        where = f" ({entrant.file})" if entrant.file else ""
        when = f"at the first step, where π = π_ref{where}"
        raise NonFiniteGradient(entrant.key, when)
