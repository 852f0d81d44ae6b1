"""Calls to a guest's code, which may raise anything and change anything.

Whatever it raises is told with the file, the phase and the line; what it changes of its
batch, its settings or of torch's own switches is refused by name. Code that ends the
whole process (``os._exit``) or never ends is beyond this.
"""

import os
import random
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from numbers import Number
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import BadFile, NonFiniteGradient, printable
from workbench.core.fields import tensors

IMPORT, TRIAL = "while importing", "in the trial"
START, MEASURED = "before the first step", "while its policy is measured"


class BadMethod(BadFile):
    """A file holds no objective that can be trained.

    Attributes:
        phase: when that was found, such as "in the trial" or "at step 40".
    """

    def __init__(self, file: str | Path, reason: str, detail: str = "", phase=""):
        super().__init__(file, reason, detail)
        self.phase = phase
        if phase:
            where = f"{file}, {phase}: {reason}"
            self.args = (f"{where}: {detail}" if detail else where,)


@contextmanager
def guarded(file: Path, phase: str, reason: str) -> Iterator[None]:
    """Whatever is raised inside becomes a BadMethod; Ctrl-C and signals stay.

    Args:
        file: whose code runs inside.
        phase: when it runs.
        reason: what cannot be done if it raises.
    """
    try:
        yield
    except (KeyboardInterrupt, BadMethod, NonFiniteGradient):
        raise
    except BaseException as error:  # SystemExit too: no guest ends a contest
        raise BadMethod(file, reason, told(error, file), phase) from error


def told(error: BaseException, file: str | Path | None = None) -> str:
    """An exception in one phrase, with the last line of a file that it came through."""
    try:
        message = printable(str(error), 300)
    except KeyboardInterrupt:
        raise
    except BaseException:
        message = "its message cannot be shown"
    name = type(error).__name__
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if file is not None and frame.filename == os.fspath(file)
    ]
    where = f" (line {lines[-1]})" if lines else ""
    return (f"{name}: {message}" if message else name) + where


# ---- what a guest may not change --------------------------------------------------


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)


_SWITCHES: dict[str, tuple[Callable, Callable]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (torch.get_default_device, _set_device),
    "torch's recording of gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's choice of algorithms": (
        _deterministic,
        lambda both: torch.use_deterministic_algorithms(both[0], warn_only=both[1]),
    ),
    "torch's precision of products": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "torch's mixed precision": (
        lambda: torch.is_autocast_enabled("cpu"),
        lambda on: torch.set_autocast_enabled("cpu", on),
    ),
    "torch's search for anomalies": (
        torch.is_anomaly_enabled,
        torch.autograd.set_detect_anomaly,
    ),
    "the working folder": (os.getcwd, os.chdir),
    # a draw moves the generator and leaves its seed
    "torch's seed": (torch.initial_seed, torch.manual_seed),
}


@contextmanager
def undisturbed() -> Iterator[list[str]]:
    """Put torch's switches back at the end, and list those that were changed."""
    before = {name: read() for name, (read, _) in _SWITCHES.items()}
    changed: list[str] = []
    try:
        with warnings.catch_warnings():
            yield changed
    finally:
        for name, (read, write) in _SWITCHES.items():
            if read() != before[name]:
                changed.append(name)
                write(before[name])


@contextmanager
def alone(seed: int = 0) -> Iterator[None]:
    """Random numbers from a seed, and afterwards as if none had been drawn.

    What a guest draws is then the same whichever methods are trained beside it.
    """
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _equal(a: Tensor, b: Tensor) -> bool:
    """The same numbers, NaN where NaN was."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(((a == b) | ((a != a) & (b != b))).all())


@dataclass(frozen=True)
class _Photo:
    """A batch before a call: its tensors, and copies of them."""

    values: dict[str, Any]
    copies: dict[str, Tensor]
    learned: dict[str, bool]

    @classmethod
    def of(cls, batch: Any) -> "_Photo":
        found = tensors(batch)
        return cls(
            {f.name: getattr(batch, f.name) for f in fields(batch)},
            {name: value.detach().clone() for name, value in found.items()},
            {name: value.requires_grad for name, value in found.items()},
        )

    def changed(self, batch: Any) -> list[str]:
        """Names of the fields that are no longer what they were."""
        names = [
            n for n, value in self.values.items() if vars(batch).get(n) is not value
        ]
        for name, copy in self.copies.items():
            value = self.values[name]
            kept = value.requires_grad == self.learned[name]
            if name not in names and not (kept and _equal(value.detach(), copy)):
                names.append(name)
        return names


def _pinned(value: Any, depth: int = 6) -> Any:
    """Something to compare that stands for a value and for all it holds now."""
    if value is None or isinstance(value, Number | str | bytes):
        return type(value).__name__, repr(value)
    if isinstance(value, Tensor | np.ndarray):
        return str(value.dtype), tuple(value.shape), repr(value.tolist())
    if depth == 0:
        return id(value)
    if isinstance(value, dict):
        pairs = value.items()
        return [(_pinned(k, depth - 1), _pinned(v, depth - 1)) for k, v in pairs]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    if isinstance(value, list | tuple):
        return [_pinned(item, depth - 1) for item in value]
    plain = hasattr(value, "__dict__") or is_dataclass(value)
    if not plain or isinstance(value, type | ModuleType | FunctionType):
        return id(value)
    names = [f.name for f in fields(value)] if is_dataclass(value) else []
    data = Number | str | list | dict | Tensor
    own = {k: v for k, v in vars(type(value)).items() if isinstance(v, data)}
    parts = {name: getattr(value, name) for name in names}
    parts |= getattr(value, "__dict__", {})
    return type(value).__name__, _pinned(own, depth - 1), _pinned(parts, depth - 1)


# ---- the call ---------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    """A guest's function of a batch and cfg, with every call checked.

    Attributes:
        file: where it comes from.
        name: ``loss`` or ``reward``.
        call: the function.
        phase: when it is called, unless the caller says so.
    """

    file: Path
    name: str
    call: Callable
    phase: str

    def __call__(self, batch: Any, cfg: Any, phase: str | None = None) -> Tensor:
        """One finite value per example; the batch, cfg and torch are as before.

        Raises:
            BadMethod: anything else, with the file and the phase.
        """
        phase = phase or self.phase
        on = " on an example" if phase == TRIAL else ""
        with guarded(self.file, phase, f"{self.name} fails{on}"):
            photo, settings = _Photo.of(batch), _pinned(cfg)
            with undisturbed() as changed:
                value = self.call(batch, cfg)
            changed += photo.changed(batch)
            if _pinned(cfg) != settings:
                changed.append("cfg")
            if changed:
                detail = f"{self.name} changed {', '.join(changed)}; it may only read"
                reason = "changes what is not its own"
                raise BadMethod(self.file, reason, detail, phase)
            self._check(value, batch, phase)
        return value

    def _check(self, value: Any, batch: Any, phase: str) -> None:
        parts = tensors(batch).values()
        n = len(next(iter(parts)))
        if not isinstance(value, Tensor) or value.shape != (n,):
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value)
            right = "one value per example, no mean over them"
            detail = f"{n} examples gave {got}; {right}"
            raise BadMethod(self.file, "wrong shape", detail, phase)
        if not value.is_floating_point():
            detail = f"{self.name} gave {value.dtype}, not real floating-point numbers"
            raise BadMethod(self.file, "wrong kind of number", detail, phase)
        bad = (~value.isfinite()).nonzero().flatten().tolist()
        if bad:
            rows = ", ".join(f"row {row}: {value[row].item()}" for row in bad[:4])
            detail = f"{len(bad)} of {n} values ({rows})"
            raise BadMethod(self.file, f"non-finite {self.name}", detail, phase)
        learned = torch.is_grad_enabled() and any(t.requires_grad for t in parts)
        if learned and not value.requires_grad:
            detail = "nothing of the policy is left in the loss; was it detached?"
            raise BadMethod(self.file, "no gradient", detail, phase)
