"""How long a run takes, how it steps, what is measured on the way, where it is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Required, TypedDict

Measure = Callable[[Any], Any]


class Settings(TypedDict, total=False):
    """The keyword arguments of every ``fit``; each is an attribute of ``Schedule``."""

    steps: Required[int]
    batch_size: int
    lr: float
    seed: int
    measures: Sequence[Measure]
    every: int
    out: str | Path | None
    resume: bool
    decay: bool


@dataclass(frozen=True)
class Schedule:
    """The plan of one run.

    Attributes:
        steps: steps of the loop; on each the policy learns once (or, with several
            epochs, a few times) from one batch.
        batch_size: examples per step and member.
        lr: Adam's step size.
        seed: of the order of the data, where member m of a stack uses ``seed + m``; and
            of sampling, where the members of a stack share one stream of draws.
        measures: called on what is trained at step 0, every ``every`` steps and at the
            end; each returns a frame with one row per seed.
        every: steps between measures, and between the states kept in ``out``.
        out: run folder; None to keep nothing.
        resume: continue the run in ``out`` where it was interrupted.
        decay: shrink the step size linearly to 0.
    """

    steps: int
    batch_size: int = 32
    lr: float = 1e-3
    seed: int = 0
    measures: Sequence[Measure] = ()
    every: int = 50
    out: str | Path | None = None
    resume: bool = False
    decay: bool = False
