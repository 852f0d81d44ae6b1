"""How a notebook is executed, and what came of it."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.runner import build
from workbench.runner.verdict import Failure

# Kernel start and imports on a machine that is busy with something else.
START_S = 30.0
HARD_LIMIT = 3.0


@dataclass(frozen=True)
class Settings:
    """How to execute.

    Attributes:
        root: the project folder; its `workbench/` and `data/` enter the cache key.
        profile: "ci", "lecture" or "figure".
        build: folder of executed copies; default `root/build/PROFILE`.
        device: injected as DEVICE where a notebook declares it; None injects nothing.
        seed: injected as SEED where a notebook declares it; None injects nothing.
        parameters: further parameters, each of which every notebook must declare.
        force: execute even what is unchanged.
        slow: factor on every declared budget, for a slow machine.
        grace: the worker is stopped at `budget * slow * grace + start` seconds.
        start: seconds added to that limit.
    """

    root: Path
    profile: str = "lecture"
    build: Path | None = None
    device: str | None = None
    seed: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    force: bool = False
    slow: float = 1.0
    grace: float = HARD_LIMIT
    start: float = START_S

    @property
    def folder(self) -> Path:
        """Where the executed copies stand."""
        return (self.build or self.root / "build" / self.profile).resolve()


@dataclass(frozen=True)
class Result:
    """The outcome of one notebook.

    Attributes:
        name: such as `20_dpo`.
        profile: the profile it ran at.
        executed: the executed copy, partial if the notebook failed.
        failures: empty if it passed.
        seconds: wall-clock seconds of the execution (an earlier one if cached).
        cell_seconds: seconds of each executed cell, prose included (as zero).
        cached: the executed copy of an earlier call was still valid.
    """

    name: str
    profile: str
    executed: Path
    failures: tuple[Failure, ...]
    seconds: float
    cell_seconds: tuple[float, ...]
    cached: bool = False

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


def parameters(source: build.Source, settings: Settings) -> dict[str, Any]:
    """Plain JSON values to inject into a notebook."""
    out = os.path.relpath(settings.folder / source.name, source.folder)
    offered: dict[str, Any] = {"PROFILE": settings.profile, "OUT": out}
    if settings.device is not None:
        offered["DEVICE"] = settings.device
    if settings.seed is not None:
        offered["SEED"] = settings.seed
    known = {k: v for k, v in offered.items() if k in source.parameters}
    return known | settings.parameters
