"""A fit trains one method on one problem for all seeds, and measures the policy."""

import math
from collections.abc import Callable, Iterable
from itertools import count
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from workbench.core.errors import NonFiniteGradient, WorkbenchError, printable
from workbench.core.fields import freeze, tensors
from workbench.experiment import needs
from workbench.experiment.candidates import Candidate
from workbench.experiment.evaluation import of_policy
from workbench.experiment.problem import Problem
from workbench.experiment.watched import MEASURED, START, BadMethod, alone, told
from workbench.feedback.kind import DataSet
from workbench.loops import offline, online
from workbench.loops.order import batch
from workbench.loops.run import Run
from workbench.loops.schedule import Schedule, Settings


class NoNumbers(WorkbenchError, ArithmeticError):
    """A policy cannot be measured: its numbers are NaN or infinite."""


def compare(
    candidates: Iterable[Candidate],
    problem: Problem,
    budget: Schedule,
    progress: Callable[[str], None] = lambda line: None,
):
    """Train every candidate from the reference on the problem's labels, and measure it.

    Args:
        candidates: methods with their settings.
        problem: world, reference, labels of every seed.
        budget: steps, pairs per step and step size, the same for all; lists and single
            responses are so many that a step reads as many responses.
        progress: called with a line per method.

    Returns:
        DataFrame, one row per method and seed: method, world, data, outside, the
        columns of ``evaluation.Evaluation``, seconds (of training, all seeds together),
        problem (why a method of the library has no numbers; empty otherwise).

    Raises:
        BadMethod, NonFiniteGradient: an objective from a file fails; what fails of the
            library is recorded.
    """
    import pandas as pd

    parts = []
    for one in candidates:
        parts.append(fit(one, problem, budget))
        progress(line(parts[-1]))
    return pd.concat(parts, ignore_index=True)


def fit(one: Candidate, problem: Problem, budget: Schedule):
    """Train one candidate from the reference, and measure it: its rows of ``compare``.

    Raises:
        BadMethod, NonFiniteGradient: an objective from a file fails.
    """
    import pandas as pd

    observed = Observed(one)
    try:
        with alone(problem.seeds[0]):
            frame = _finite(_trained(observed, problem, budget))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # one failure does not end a comparison of many
        message = _told(error, observed)
        frame = pd.DataFrame({"seed": list(problem.seeds), "problem": message})
    frame.insert(0, "method", one.key)
    frame.insert(1, "world", problem.name)
    frame.insert(2, "data", one.learns_from)
    frame.insert(3, "outside", one.outside)
    return frame


def line(frame) -> str:
    """One candidate's rows in a sentence."""
    first = frame.iloc[0]
    if first["problem"]:
        return f"{first['method']}: {first['problem']}"
    gold, kl = frame["gold"].mean(), frame["kl"].mean()
    return f"{first['method']}: gold {gold:.2f}, KL {kl:.2f} nats"


def _trained(observed: "Observed", problem: Problem, budget: Schedule):
    """All seeds side by side; one after the other where each has a model of its own."""
    import pandas as pd

    apart = "prepare" in observed.card.hooks
    rounds = [problem.of_seed(s) for s in problem.seeds] if apart else [problem]
    frames, seconds = [], 0.0
    for part in rounds:
        frame, spent = _once(observed, part, budget)
        frames.append(frame)
        seconds += spent
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(seconds=seconds, problem="")


def _once(observed: "Observed", problem: Problem, budget: Schedule):
    one = observed.candidate
    if one.card.loop is not offline:
        return _own(observed, problem, budget)
    prepared = problem.prepared(observed, one.cfg)
    size = examples(budget.batch_size, prepared.data, problem)
    _first_gradient(observed, problem, prepared, size)
    observed.begin()
    run = offline.fit(
        prepared.policy, prepared.reference, prepared.data, observed, None,
        **_plan(problem, budget, size),
    )  # fmt: skip
    return _measured(observed, problem, run)


def _own(observed: "Observed", problem: Problem, budget: Schedule):
    """A method that learns from its own responses: as many of them per step."""
    one = observed.candidate
    needs.check(one, problem.gives, needs.WORLD, problem.name)
    both = 2 if one.card.loop is online else 1  # two responses make a pair or a game
    plan = _plan(problem, budget, both * budget.batch_size)
    run = one.card.loop.drive(problem, observed, one.cfg, plan)
    return _measured(observed, problem, run)


def _plan(problem: Problem, budget: Schedule, size: int) -> Settings:
    return {
        "steps": budget.steps, "batch_size": size, "lr": budget.lr,
        "seed": problem.seeds[0], "every": budget.steps,
    }  # fmt: skip


def _measured(observed: "Observed", problem: Problem, run: Run):
    """What the trained policy has become, and the seconds that it took."""
    observed.phase = MEASURED
    cfg = observed.candidate.cfg
    return of_policy(problem, observed, cfg, problem.beta)(run.policy), run.seconds


def examples(pairs: int, data: DataSet, problem: Problem) -> int:
    """Examples per step that hold as many responses as so many pairs do."""
    share = len(data) / len(problem.pairs)
    return min(max(1, round(pairs * share)), len(data) // len(problem.seeds))


class Observed(SimpleNamespace):
    """A candidate as a loop sees it: its calls are the steps, and are numbered.

    Attributes:
        card: the candidate's.
        phase: where its training is.
    """

    def __init__(self, candidate: Candidate):
        super().__init__(
            candidate=candidate,
            card=candidate.card,
            reads=candidate.reads,
            **candidate.hooks,
        )
        self.begin()

    def begin(self) -> None:
        """The next call is the first step of a run."""
        self.phase, self._steps = START, count()

    def loss(self, batch: Any, cfg: Any) -> Tensor:
        """One value per example, by the candidate's own settings; a gradient that is
        not finite ends the training."""
        self.phase, one = f"at step {next(self._steps)}", self.candidate
        where = f"{self.phase} ({one.file})" if one.file else self.phase

        def check(gradient: Tensor) -> None:
            if not gradient.isfinite().all():
                raise NonFiniteGradient(one.key, where)

        for value in tensors(batch).values():
            if value.requires_grad:
                value.register_hook(check)
        if one.file is not None:
            return one.loss(batch, one.cfg, self.phase)
        return one.loss(batch, one.cfg)


def _told(error: BaseException, observed: Observed) -> str:
    """A failure in one line, for the table; an error, if the candidate is a file's."""
    one = observed.candidate
    own = isinstance(error, WorkbenchError)
    message = str(error) if own else told(error, one.file)
    if one.file is None:
        return " ".join(printable(message).split())
    if isinstance(error, BadMethod | NonFiniteGradient):
        raise error
    raise BadMethod(one.file, "cannot take part", message, observed.phase) from error


def _finite(frame):
    """The same measures, if they are numbers.

    Raises:
        NoNumbers: training has ruined the policy.
    """
    # a method without a reward of its own has no calibration
    numbers = frame.select_dtypes("number").filter(regex="^(?!ece$).*(?<!_stderr)$")
    lost = [name for name in numbers if not numbers[name].map(math.isfinite).all()]
    if lost:
        raise NoNumbers(f"after training {', '.join(lost)} are not finite; smaller lr?")
    return frame


def _first_gradient(
    observed: Observed, problem: Problem, prepared: Any, size: int
) -> None:
    """At π = π_ref every log-ratio is 0, where √ and division fail first.

    Raises:
        NonFiniteGradient: some gradient of the weights is NaN or infinite there.
    """
    one, data, policy = observed.candidate, prepared.data, prepared.policy
    rows = batch(problem.seeds[0], policy.members, 0, len(data), size)
    ref = data.reference_logps(prepared.reference, rows)
    losses = one.loss(freeze(data.batch(policy, rows, ref)), one.cfg)
    found = torch.autograd.grad(
        losses.sum(), list(policy.parameters()), allow_unused=True
    )
    if losses.isfinite().all() and not all(
        g.isfinite().all() for g in found if g is not None
    ):
        where = f" ({one.file})" if one.file else ""
        when = f"at the first step, where π = π_ref{where}"
        raise NonFiniteGradient(one.key, when)
