"""What the user asked of `workbench compare`, checked before anything is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Number
from pathlib import Path

from workbench.core.errors import BadOption
from workbench.loops.schedule import Schedule
from workbench.worlds.registry import world_of

# beyond these every objective fails or nothing ends
MOST_STEPS, MOST_SEEDS, MOST_LR = 1_000_000, 1_000, 1.0
LEAST_BETA, MOST_BETA = 1e-6, 1e3


@dataclass(frozen=True)
class Settings:
    """What the user asked for.

    Attributes:
        family: a folder of methods.
        files: objectives of the user, one per file.
        world: reviews or stories.
        seeds: how many.
        steps, batch_size, lr: the budget; the world's own if None.
        beta: replaces every ``beta``; published defaults if None.
        only: keys of methods; all of the family if empty.
        by: column the table is sorted by.
        out: folder of CSV and figure; nothing is written if None.
        resume: go on with the comparison in ``out``.
        overwrite: delete the earlier comparison in ``out``.
    """

    family: str = "direct"
    files: Sequence[Path] = ()
    world: str = "reviews"
    seeds: int = 3
    steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    beta: float | None = None
    only: Sequence[str] = ()
    by: str = "gold"
    out: Path | None = None
    resume: bool = False
    overwrite: bool = False

    @property
    def budget(self) -> Schedule:
        """The world's own, except for what the user gave."""
        given = {"steps": self.steps, "batch_size": self.batch_size, "lr": self.lr}
        given = {name: value for name, value in given.items() if value is not None}
        usual = world_of(self.world).usual
        usual = {
            name: usual[name] for name in ("steps", "batch_size", "lr") if name in usual
        }
        return Schedule(**({"steps": 100} | usual | given))

    def check(self) -> None:
        """Whether each option is one that can be had, as far as it alone can tell.

        Raises:
            BadOption: one is not, with what it may be.
        """
        world_of(self.world)
        _within("--seeds", self.seeds, 1, MOST_SEEDS)
        _within("--steps", self.steps, 1, MOST_STEPS)
        _within("--beta", self.beta, LEAST_BETA, MOST_BETA)
        if self.batch_size is not None and not self.batch_size >= 1:
            raise BadOption(f"--batch-size is positive, not {self.batch_size}")
        if self.lr is not None and not 0 < self.lr <= MOST_LR:
            raise BadOption(f"--lr is positive and at most {MOST_LR:g}, not {self.lr}")
        if self.out is None and (self.resume or self.overwrite):
            name = "--resume" if self.resume else "--overwrite"
            raise BadOption(f"{name} needs the folder of an earlier comparison: --out")


def _within(name: str, value: Number | None, least: Number, most: Number) -> None:
    # NaN is in no range
    if value is not None and not least <= value <= most:
        raise BadOption(f"{name} is between {least:g} and {most:,.12g}, not {value}")
