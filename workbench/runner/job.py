"""How a notebook is executed, and what came of it."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.runner import build
from workbench.runner.speed import Speed
from workbench.runner.verdict import Failure

# A kernel that has printed, drawn and finished nothing for so many budgets is stopped.
PATIENCE = 10.0
# Seconds that a process and its imports may take before the first sign of life.
START_S = 60.0
MEMORY_GB = 8.0


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
        speed: of this machine; every time below is in seconds of the reference machine.
        enforce: whether a notebook over its budget fails; nobody but CI should care.
        patience: budgets of silence after which a kernel is stopped.
        start: seconds added to that, for the start of a process.
        memory_gb: a notebook whose processes hold more is stopped.
    """

    root: Path
    profile: str = "lecture"
    build: Path | None = None
    device: str | None = None
    seed: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    force: bool = False
    speed: Speed = field(default_factory=Speed)
    enforce: bool = False
    patience: float = PATIENCE
    start: float = START_S
    memory_gb: float = MEMORY_GB

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
        cpu_seconds: seconds of the processor, None if that is not known.
        cached: the executed copy of an earlier call was still valid.
        notes: messages of other packages; they decide nothing.
    """

    name: str
    profile: str
    executed: Path
    failures: tuple[Failure, ...]
    seconds: float
    cell_seconds: tuple[float, ...]
    cpu_seconds: float | None = None
    cached: bool = False
    notes: tuple[str, ...] = ()

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
