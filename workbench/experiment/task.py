"""One run of one seed: a method on a problem, with its measures, kept in a folder."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from workbench.core import processes
from workbench.core.errors import BadOption, MissingInput, WorkbenchError
from workbench.core.suggest import suggest
from workbench.experiment import needs, pace, run_loggers
from workbench.experiment.evaluation import RewardEvaluation, of_policy, optimum
from workbench.experiment.problem import Problem, given
from workbench.experiment.training_settings import Settings
from workbench.feedback.kind import reads, why_whole
from workbench.loops import online
from workbench.loops.checks import hook
from workbench.loops.run import Run
from workbench.loops.schedule import Settings as Plan
from workbench.loops.session import Session
from workbench.worlds.registry import world_of


@dataclass(frozen=True)
class Task:
    """A method with its settings, ready to be run for any seed.

    Attributes:
        method: the method's module.
        cfg: its Config.
        problem: where it learns, from which labels.
        settings: the command.
    """

    method: ModuleType
    cfg: object
    problem: Problem
    settings: Settings

    @property
    def trains(self) -> str:
        """What the method's loop trains: policy, reward model or critic."""
        return self.method.card.loop.TRAINS

    def check(self) -> None:
        """Refuse labels that the method cannot learn from, before anything is trained.

        Raises:
            MissingInput: with what they lack.
            BadOption: a batch of them cannot be read in parts.
        """
        card, labels = self.method.card, self.problem.trial
        try:
            needs.check_labels(self.method, labels.parts, labels.source)
            ready_made = hook(self.method, "prepare") is None and not card.loop.ASKS
            made = labels.data(reads(self.method)) if ready_made else None
            why = None if made is None else why_whole(made)
        except MissingInput as error:
            shown = f"notebook {card.notebook} shows it at work"
            raise MissingInput(f"{error}; {shown}") from None
        if why is None:
            return
        if self.settings.micro_batch is not None:
            raise BadOption(f"{card.key} takes no --micro-batch: {why}")
        if processes.count() > 1:
            raise BadOption(f"{card.key} is trained by one process: {why}")

    def run(self, seed: int, out: Path, resume: bool) -> Run:
        """Train one seed; the run folder is ``out``.

        Raises:
            Diverged: the numbers grew beyond what a float can hold.
            BadOption: the method cannot work with a setting that was given.
            WorkbenchError: the machine has too little memory.
        """
        problem = self.problem.of_seed(seed)
        plan = self.plan(problem, out, resume)
        try:
            run = self._driven(problem, plan, out)
        except (ArithmeticError, RuntimeError, ValueError, LookupError) as error:
            named = _named(self, seed, error)
            if named is None:
                raise
            raise named from error
        start = run.metrics.iloc[0]
        # what held-out labels cannot give is NaN from the start: thumbs of one kind
        given = [n for n in _FINITE if n == "loss" or start.get(n) == start.get(n)]
        numbers = torch.tensor(run.last.filter(given).to_numpy(float).tolist())
        if not numbers.isfinite().all():
            raise Diverged(self, seed, None, "its measures are not finite")
        return run

    def _driven(self, problem: Problem, plan: Plan, out: Path) -> Run:
        """The loop, measured and listened to."""
        one = (problem, self.method, self.cfg)
        with run_loggers.listening(self.settings.log, *one, out) as more:
            plan["measures"] = [self.measure(problem), *more["measures"]]
            plan["listen"] = more["listen"]
            return self.method.card.loop.drive(*one, plan)

    @property
    def lr(self) -> float:
        """Adam's step size."""
        named = self.problem.reference.named_parameters()
        counts = (p.numel() for name, p in named if "lora_" not in name)
        return pace.lr(self.method, self.settings, sum(counts))

    def plan(self, problem: Problem, out: Path, resume: bool) -> Plan:
        """The schedule of one run, of a problem with one seed."""
        s = self.settings
        return {
            "steps": pace.steps(self.method, self.cfg, problem, s),
            "batch_size": s.batch_size, "lr": self.lr, "every": s.interval,
            "seed": problem.seeds[0], "out": out, "resume": resume,
            "micro_batch": s.micro_batch, "warmup": s.warmup or 0, "clip": s.clip,
        }  # fmt: skip

    def measure(self, problem: Problem) -> Callable:
        """What is measured of the model that the method trains on a problem."""
        if self.trains == "reward model":
            return RewardEvaluation(problem, self.method, self.cfg)
        beta = optimum(self.method, self.cfg)
        measure = of_policy(problem, self.method, self.cfg, beta)
        if self.trains == "policy":
            return measure
        decode = hook(self.method, "decode", must=True)
        return lambda critic: measure(decode(critic, problem.reference, self.cfg))


class Diverged(WorkbenchError, ArithmeticError):
    """Training went beyond what a float can hold.

    Attributes:
        step: of the loop; None after the last one.
    """

    def __init__(self, task: Task, seed: int, step: int | None, what: str):
        self.step = step
        when = "after the last step" if step is None else f"at step {step}"
        super().__init__(
            f"{task.method.card.key}, seed {seed}: {what} {when}; a step size smaller "
            f"than --lr {task.lr:g} may help"
        )


# measures of the last step that every run which did not diverge has as numbers
_FINITE = ["loss", "kl", "margin", "nll"]
_BEYOND = ("probability tensor contains", "without overflow")
_MEMORY = ("out of memory", "can't allocate", "not enough memory")


def _named(task: Task, seed: int, error: Exception) -> WorkbenchError | None:
    """A foreign exception as a sentence, if it is one that a user can mend."""
    if isinstance(error, WorkbenchError):
        return None
    message, given = str(error), task.settings.options
    if any(part in message.lower() for part in _MEMORY):
        return WorkbenchError(
            f"{task.method.card.key}, seed {seed}: out of memory on "
            f"{task.settings.device}; a smaller --micro-batch, --batch-size, "
            "--max-length or --width needs less"
        )
    if isinstance(error, OverflowError) or any(part in message for part in _BEYOND):
        return Diverged(task, seed, _step_of(error), "its numbers are not finite")
    return _blame(task.method, given, error) if given else None


def _blame(method: ModuleType, given: Mapping[str, str], error: Exception) -> BadOption:
    """A foreign exception of a method is a matter of the settings it was given."""
    told = ", ".join(f"{name}={text}" for name, text in given.items())
    return BadOption(f"{method.card.key} cannot work with {told}: {error}")


def _step_of(error: Exception) -> int | None:
    """The step of the loop that an exception came out of."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        session = frame.f_locals.get("session")
        if isinstance(session, Session):
            return session.at
    return None


def notes(method: ModuleType, settings: Settings) -> tuple[str, ...]:
    """Sentences for the user on what is done other than asked for."""
    asked, group = settings.batch_size, settings.group
    made = max(1, asked // group) * group
    if method.card.loop is not online or asked == made:
        return ()
    return (
        f"--batch-size {asked} is no multiple of the {group} responses to a prompt: "
        f"{made} responses per step, to {made // group} prompt(s)",
    )


def check_device(name: str) -> None:
    """Refuse a device that no machine, or not this one, has.

    Raises:
        BadOption: with those there are; cuda is the CPU where there is no GPU.
    """
    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if name not in (*there, "cuda", "cuda:0"):
        near = suggest(name, [*there, "cuda"])
        listed = ", ".join(there)
        raise BadOption(f"no device {name!r}{near}; this machine has {listed}")


def try_settings(method: ModuleType, cfg, settings: Settings) -> None:
    """Call the loss on an example, if the user has changed a setting of the method.

    Raises:
        BadOption: it cannot work with the settings.
    """
    if not settings.options or "loss" not in vars(method):
        return
    stream = torch.Generator().manual_seed(0)
    batch = reads(method).example(stream, batch=8, dtype=torch.float64)
    try:
        method.loss(batch, cfg)
    except (ArithmeticError, RuntimeError, ValueError, LookupError) as error:
        raise _blame(method, settings.options, error) from error


def check(method: ModuleType, settings: Settings) -> None:
    """Refuse a method that needs what the data cannot give, before anything is read.

    Raises:
        MissingInput: with what is missing and where it can be had.
        BadOption: there is no such device.
    """
    check_device(settings.device)
    if settings.log is not None:
        run_loggers.check(settings.log)
    gives, place = set(), "a preference file"
    parts = set(needs.FILE) | needs.columns(method)
    if settings.world is not None:
        world = world_of(settings.world).make(settings.max_words)
        gives, place = given(world), settings.world
        parts = set(needs.WORLD) | ({"users"} if settings.users else set())
    needs.check(method, gives, parts, place)
    pace.check(method, settings)
    makes_own = hook(method, "build") is not None
    if settings.model is not None and (
        method.card.loop.TRAINS == "critic" or makes_own
    ):
        raise MissingInput(
            f"{method.card.key} trains a small {method.card.loop.TRAINS} from scratch; "
            "leave out --model"
        )
