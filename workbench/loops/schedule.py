"""How long a run takes, how it steps, what is measured on the way, where it is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Required, TypedDict

from workbench.core.errors import BadCall

Measure = Callable[[Any], Any]


class Settings(TypedDict, total=False):
    """The keyword arguments of every ``fit``; each is an attribute of ``Schedule``."""

    steps: Required[int]
    batch_size: int
    lr: float
    seed: int
    measures: Sequence[Measure]
    listen: Callable[[dict[str, Any]], None] | None
    every: int
    out: str | Path | None
    resume: bool
    decay: bool
    micro_batch: int | None
    warmup: int
    clip: float | None


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
        listen: called with each new row of the metrics, once it is complete.
        every: steps between measures, and between the states kept in ``out``.
        out: run folder; None to keep nothing.
        resume: continue the run in ``out`` where it was interrupted.
        decay: shrink the step size linearly to 0, once it is warm.
        micro_batch: examples per member that are in memory at once, of a batch of a
            data set; their gradients add up to the whole batch's. None is all of them.
        warmup: steps over which the step size grows linearly to ``lr``.
        clip: longest gradient of a member, as a 2-norm; None leaves it as it is.
    """

    steps: int
    batch_size: int = 32
    lr: float = 1e-3
    seed: int = 0
    measures: Sequence[Measure] = ()
    listen: Callable[[dict[str, Any]], None] | None = None
    every: int = 50
    out: str | Path | None = None
    resume: bool = False
    decay: bool = False
    micro_batch: int | None = None
    warmup: int = 0
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.micro_batch is not None and self.micro_batch < 1:
            raise BadCall(f"micro_batch is at least 1, not {self.micro_batch}")
        if self.warmup < 0 or (self.clip is not None and not self.clip > 0):
            raise BadCall("warmup is at least 0, and clip is above 0")

    def lr_at(self, step: int) -> float:
        """Adam's step size at a step, which counts from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        rest = 1 - (step - self.warmup) / (self.steps - self.warmup)
        return self.lr * rest if self.decay else self.lr

    @property
    def special(self) -> dict:
        """What run.json says where a setting is not the usual one."""
        named = {
            name: getattr(self, name) for name in ("micro_batch", "warmup", "clip")
        }
        return {name: value for name, value in named.items() if value}
