"""One run of one seed: which loop a family of methods is trained by, and with what."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from workbench.core.errors import BadOption, MissingInput, WorkbenchError
from workbench.core.suggest import suggest
from workbench.feedback.annotator import Annotator
from workbench.feedback.kind import batch_class
from workbench.feedback.kinds.responses import Responses
from workbench.feedback.labels import kind
from workbench.loops import games, offline, online, reward
from workbench.loops.run import Run
from workbench.loops.session import Session
from workbench.models.device import place
from workbench.models.heads import ScoreModel, ValueModel
from workbench.train import measures
from workbench.train.settings import Settings, temperature
from workbench.train.sources import Source

GROUP = 4  # responses to each prompt, online
STEPS = {"supervised": 200, "offline": 200, "reward": 200, "online": 100, "games": 100}
# what the loops below know how to give; a method that needs more says so
GIVEN = {
    "supervised": {"responses", "pairs", "reference"},
    "reward": {"pairs"},
    "online": {"rollouts", "reward", "reference", "value head", "group"},
    "games": {"rollouts", "preference oracle", "reference", "group"},
}


@dataclass(frozen=True)
class Task:
    """A method with its settings, ready to be run for any seed.

    Attributes:
        method: the method's module.
        cfg: its Config.
        source: where data come from.
        settings: the command.
    """

    method: ModuleType
    cfg: object
    source: Source
    settings: Settings

    @property
    def family(self) -> str:
        """The folder of the method."""
        return self.method.card.family

    def check(self) -> None:
        """Refuse data that the method cannot learn from, before anything is written.

        Raises:
            MissingInput: with what they lack.
        """
        if self.family != "offline":
            return
        card = self.method.card
        try:
            self.source.check_labels(batch_class(self.method.loss))
        except MissingInput as error:
            shown = f"notebook {card.notebook} shows it at work"
            raise MissingInput(f"{card.key}: {error}; {shown}") from None

    def run(self, seed: int, out: Path, resume: bool) -> Run:
        """Train one seed; the run folder is ``out``.

        Raises:
            Diverged: the numbers grew beyond what a float can hold.
            BadOption: the method cannot work with a setting that was given.
            WorkbenchError: the machine has too little memory.
        """
        try:
            run = _LOOPS[self.family](self, seed, out, resume)
        except (ArithmeticError, RuntimeError, ValueError, LookupError) as error:
            named = _named(self, seed, error)
            if named is None:
                raise
            raise named from error
        numbers = torch.tensor(run.last.filter(_FINITE).to_numpy(float))
        if not numbers.isfinite().all():
            raise Diverged(self, seed, None, "its measures are not finite")
        return run

    @property
    def lr(self) -> float:
        """Adam's step size."""
        s = self.settings
        slow = 1e-5 if s.model is not None else 1e-3 * 64 / max(64, s.width)
        return slow if s.lr is None else s.lr

    def common(self, seed: int, out: Path, resume: bool) -> dict:
        """Arguments that every loop takes."""
        s = self.settings
        steps = STEPS[self.family] if s.steps is None else s.steps
        return {"steps": steps, "lr": self.lr, "every": s.every, "seed": seed,
                "out": out, "resume": resume}  # fmt: skip

    def policy_measures(self, seed: int) -> list:
        """Measures of a policy of this method."""
        beta = temperature(self.cfg)
        to_optimum = beta if self.family == "online" or self.method_is_dpo() else None
        return measures.of_policy(self.source, seed, beta, to_optimum)

    def method_is_dpo(self) -> bool:
        """Bradley–Terry labels and β: then π*_β of gold is what it aims at."""
        return self.family == "offline" and "beta" in vars(self.cfg)


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
    said, given = str(error), task.settings.options
    if any(part in said.lower() for part in _MEMORY):
        return WorkbenchError(
            f"{task.method.card.key}, seed {seed}: out of memory on "
            f"{task.settings.device}; a smaller --batch-size, --max-length or --width "
            "needs less"
        )
    if isinstance(error, OverflowError) or any(part in said for part in _BEYOND):
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
    asked, prompts = settings.batch_size, _prompts(settings)
    if method.card.family != "online" or asked == prompts * GROUP:
        return ()
    return (
        f"--batch-size {asked} is no multiple of the {GROUP} responses to a prompt: "
        f"{prompts * GROUP} responses a step, to {prompts} prompt(s)",
    )


def _prompts(settings: Settings) -> int:
    return max(1, settings.batch_size // GROUP)


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
    batch = batch_class(method.loss).example(stream, batch=8, dtype=torch.float64)
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
    card, where = method.card, settings.world or "a preference file"
    if card.family == "offline" and "loss" in vars(method):
        _check_labels(method, settings)
        return
    if card.family not in GIVEN:
        raise MissingInput(
            f"{card.key} trains no policy and no reward model ({card.family}); "
            f"notebook {card.notebook} shows it at work"
        )
    strange = sorted(set(card.needs) - GIVEN[card.family])
    if strange:
        raise MissingInput(f"{card.key} needs {', '.join(strange)}; {where} has none")
    if settings.pairs is not None and card.family in ("online", "games"):
        lacks = "a reward" if card.family == "online" else "a preference oracle"
        raise MissingInput(
            f"{card.key} needs {lacks} for responses that it writes itself, and a "
            "preference file has none; use --world, or an offline method such as dpo"
        )
    if card.family == "games" and settings.world != "reviews":
        raise MissingInput(
            f"{card.key} mixes laws over all responses; use --world reviews"
        )
    if card.family == "reward" and settings.model is not None:
        raise MissingInput(
            f"{card.key} trains a small reward model from scratch; leave out --model"
        )


def _check_labels(method: ModuleType, settings: Settings) -> None:
    """A preference file holds comparisons: from them come pairs, thumbs and steps."""
    learns_from = kind(batch_class(method.loss))
    if settings.pairs is not None and learns_from in ("lists", "scores"):
        raise MissingInput(
            f"{method.card.key} learns from {learns_from}, and a preference file has "
            "no scores; use --world, or a method that needs pairs or thumbs"
        )


def _offline(task: Task, seed: int, out: Path, resume: bool) -> Run:
    source, s = task.source, task.settings
    data = source.labels(seed, batch_class(task.method.loss))
    return offline.fit(
        source.start(), source.reference, data, task.method, task.cfg,
        batch_size=s.batch_size, measures=task.policy_measures(seed),
        **task.common(seed, out, resume),
    )  # fmt: skip


def _supervised(task: Task, seed: int, out: Path, resume: bool) -> Run:
    source, s = task.source, task.settings
    shown = Responses.of(source.pairs(seed).chosen)
    return offline.fit(
        source.start(), source.reference, shown, task.method, task.cfg,
        batch_size=s.batch_size, measures=task.policy_measures(seed),
        **task.common(seed, out, resume),
    )  # fmt: skip


def _reward(task: Task, seed: int, out: Path, resume: bool) -> Run:
    source, s = task.source, task.settings
    model = place(ScoreModel.tiny(source.vocab, seed=seed), s.device)
    return reward.fit(
        model, source.pairs(seed), task.method, task.cfg, batch_size=s.batch_size,
        measures=[measures.Scores(source, seed)], **task.common(seed, out, resume),
    )  # fmt: skip


def _online(task: Task, seed: int, out: Path, resume: bool) -> Run:
    source = task.source
    needs_critic = "value head" in task.method.card.needs
    critic = None
    if needs_critic:
        critic = ValueModel.tiny(source.vocab, seed=seed)
        critic = place(critic, task.settings.device)
    return online.fit(
        source.start(), source.reference, source.world, source.world.gold_reward,
        task.method, task.cfg, prompts=_prompts(task.settings),
        group=GROUP, critic=critic, epochs=2 if needs_critic else 1,
        measures=task.policy_measures(seed), **task.common(seed, out, resume),
    )  # fmt: skip


def _games(task: Task, seed: int, out: Path, resume: bool) -> Run:
    source, world = task.source, task.source.world

    def preference(prompt, response, opponent) -> torch.Tensor:
        gold = world.gold
        return Annotator().probability(gold[prompt, response], gold[prompt, opponent])

    return games.fit(
        source.start(), source.reference, world, preference, task.method, task.cfg,
        batch_size=task.settings.batch_size, measures=task.policy_measures(seed),
        **task.common(seed, out, resume),
    )  # fmt: skip


_LOOPS: dict[str, Callable[[Task, int, Path, bool], Run]] = {
    "offline": _offline,
    "supervised": _supervised,
    "reward": _reward,
    "online": _online,
    "games": _games,
}
