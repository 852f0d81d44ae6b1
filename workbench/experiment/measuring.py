"""How much a run on a checkpoint measures: at most half of the work of its training.

Work is counted in tokens of forward passes and never timed, so that the same command
measures the same on every machine. What one token of each kind of work costs was
measured on SmolLM2 with 135 million parameters on a CPU: a forward and a backward pass
take as long as 2.0 forward passes with an adapter, and about 3 without one; a step of
sampling takes as long as a forward pass of 33 tokens more than it writes; and the KL to
the reference 3.0 forward passes of what was written.

What the user asks for is done. The rest is chosen: first fewer answers and rows, down
to a quarter of the usual ones, then longer intervals, then fewer rows again.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch

from workbench.core.seeds import generator
from workbench.experiment import pace
from workbench.experiment.problem import Problem, shown
from workbench.experiment.training_settings import USUAL, Settings
from workbench.feedback.kind import reads
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.feedback.labels import Labels

SHARE = 0.5  # of the training's work, at most
WHOLE, ADAPTER = 3.0, 2.0  # forward passes that a step on a token costs
STEP, WRITTEN, DRIFT = 33.0, 1.5, 3.0  # of sampling: a step, a token; and of the KL
ROWS, ANSWERS = 8, 4  # fewer are not worth a measure
PARTS = 64  # steps from the usual rows and answers down to the least


@dataclass(frozen=True)
class Chosen:
    """Steps between measures, and held-out rows and sampled answers of each."""

    every: int
    rows: int
    answers: int


@dataclass(frozen=True)
class Work:
    """Counted work of a run and of its measures, in tokens of forward passes.

    Attributes:
        training: of the whole run.
        steps: of the run.
        row: of one held-out row at every measure, with the training row beside it.
        once: of one held-out row, when the reference reads it.
        answer: of one sampled answer at every measure.
        sampling: of sampling at every measure, however many answers there are.
    """

    training: float
    steps: int
    row: float
    once: float
    answer: float
    sampling: float

    def share(self, chosen: Chosen) -> float:
        """Work of all measures as a share of the training's."""
        times = math.ceil(self.steps / chosen.every) + 1
        sampled = self.sampling + chosen.answers * self.answer
        each = chosen.rows * self.row + (sampled if chosen.answers else 0.0)
        return (times * each + chosen.rows * self.once) / self.training


def choose(work: Work, most: Chosen, fixed: Collection[str] = ()) -> Chosen:
    """The most that may be measured, as a run can afford it; or the least there is.

    Args:
        work: what everything costs.
        most: what is measured if the run is long enough.
        fixed: names of ``most`` that are the user's own.
    """
    options = list(_options(most, work.steps, fixed))
    fits = (one for one in options if work.share(one) <= SHARE)
    return next(fits, options[-1])


def _options(most: Chosen, steps: int, fixed: Collection[str]) -> Iterator[Chosen]:
    """What may be chosen, from the most to the least."""
    every = most.every
    while True:
        last = every >= steps or "every" in fixed
        for part in range(PARTS, 0 if last else PARTS // 4 - 1, -1):
            fewer = {
                name: max(min(value, least), value * part // PARTS)
                for name, value, least in (
                    ("rows", most.rows, ROWS),
                    ("answers", most.answers, ANSWERS),
                )
                if name not in fixed
            }
            yield replace(most, every=every, **fewer)
        if last:
            return
        every = min(2 * every, steps)


def fitted(
    method: ModuleType, cfg: Any, problem: Problem, settings: Settings
) -> tuple[Problem, Settings]:
    """A run on a checkpoint, measured as it can afford it; any other as it is.

    Args:
        method, cfg: what is trained.
        problem: a file with a checkpoint.
        settings: the command; what it leaves open is chosen.

    Returns:
        the problem with fewer held-out rows and a sentence more, and the settings.
    """
    if settings.model is None:
        return problem, settings
    train, held_out = problem.file
    steps = pace.steps(method, cfg, problem.of_seed(problem.seeds[0]), settings)
    scores = method.card.loop.TRAINS == "reward model"
    own = {"every": settings.every, "answers": settings.samples}
    fixed = {name for name, value in own.items() if value is not None}
    if settings.held_out is not None or settings.eval_pairs is not None:
        fixed.add("rows")
    most = Chosen(
        settings.every or USUAL["every"], _count(held_out),
        0 if scores else settings.samples or USUAL["samples"],
    )  # fmt: skip
    work = counted(method, problem, settings, steps)
    chosen = choose(work, most, fixed)
    if chosen.rows < most.rows:
        order = torch.randperm(most.rows, generator=generator(0, "measured"))
        held_out = held_out[order[: chosen.rows].sort().values]
    told = _told(chosen, work, "pairs" if train.thumbs is None else "responses")
    answers = chosen.answers or USUAL["samples"]
    return replace(
        problem, file=(train, held_out), samples=answers,
        held_out_pairs=min(problem.held_out_pairs, chosen.rows),
        notes=(*problem.notes, told),
    ), replace(settings, every=chosen.every, samples=answers)  # fmt: skip


def counted(
    method: ModuleType, problem: Problem, settings: Settings, steps: int
) -> Work:
    """What a run on a checkpoint and its measures cost.

    Args:
        method: what is trained.
        problem: a file with a checkpoint.
        settings: the command.
        steps: of the run.
    """
    (train, held_out), loop = problem.file, method.card.loop
    one_side = "loss" in vars(method) and reads(method) is ResponseLogps
    asks = "reference" in method.card.needs and loop.TRAINS == "policy"
    passes = WHOLE if settings.lora is None else ADAPTER
    size = _tokens(train, one_side)
    seen = settings.batch_size * steps
    read = min(seen, _count(train)) if asks else 0
    training = seen * size * (passes + bool(settings.checkpointing)) + read * size
    prompt = _prompt(held_out)
    row = _tokens(held_out) + (_tokens(train) if train.thumbs is None else 0)
    if train.thumbs is not None or settings.log is not None:
        row *= 2  # with mismatched responses; or once more, for a logger
    samples = loop.TRAINS == "policy"
    new = problem.max_new
    return Work(
        training, steps, row, row if samples else 0.0,
        prompt + WRITTEN * new + DRIFT * (prompt + new) if samples else 0.0,
        STEP * new if samples else 0.0,
    )  # fmt: skip


def _prompt(labels: Labels) -> float:
    """Mean tokens of a prompt."""
    tokens = shown(labels)
    return (tokens.attention.sum() - tokens.mask.sum()).item() / len(tokens)


def _count(labels: Labels) -> int:
    return len(shown(labels))


def _tokens(labels: Labels, one_side: bool = False) -> float:
    """Mean tokens of a row: of both responses of a pair, with their prompts."""
    sides = [shown(labels)]
    if labels.pairs is not None and not one_side:
        sides.append(labels.pairs.rejected)
    return sum(side.attention.sum().item() for side in sides) / len(sides[0])


def _told(chosen: Chosen, work: Work, rows: str) -> str:
    """The sentence for the user."""
    every = f"every {chosen.every} steps"
    if chosen.every >= work.steps:
        every = "before and after"
    what = f"{chosen.rows} held-out {rows}"
    if chosen.answers:
        what += f" and {chosen.answers} sampled answers"
    share = work.share(chosen)
    return f"measures: {what} {every}, about {share:.0%} of the training's work"
