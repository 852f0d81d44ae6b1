"""Objectives from files: found, executed once, and tried before anything is trained.

A file has a function ``loss(batch, cfg)`` that returns one value per example. ``cfg``
is the file's ``Config()`` if it has one, else None. The annotation of ``batch`` says
what the loss reads; without one it is a pair (``PairLogps``). The implicit reward is
the file's ``implicit_reward(responses, cfg)`` if it has one, else ``cfg.beta`` times
the log-ratio, else the log-ratio itself.
"""

import hashlib
import inspect
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from workbench.core.card import Card
from workbench.core.errors import BadOption, printable
from workbench.experiment.candidates import Candidate, with_beta
from workbench.experiment.needs import WORLD
from workbench.experiment.watched import (
    IMPORT,
    MEASURED,
    START,
    TRIAL,
    BadMethod,
    Watched,
    alone,
    guarded,
    undisturbed,
)
from workbench.feedback.kind import batch_class, kind_of
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline
from workbench.teach.properties import PROPERTIES, Subject, gradients, leaves


def key_of(path: str | Path) -> str:
    """The name of a file's objective: the file's own, without ``.py``."""
    return " ".join(printable(Path(path).stem).split())


def check_files(
    paths: Sequence[str | Path], taken: Sequence[str] = ()
) -> dict[str, str]:
    """Whether files can be entered together; nothing is executed.

    Args:
        paths: Python files.
        taken: names that others have.

    Returns:
        name → SHA-256 of each file.

    Raises:
        BadMethod: a file is missing, no file, or none of Python's.
        BadOption: two have one name, or one has a name that is taken.
    """
    shas = [_sha256(_read(Path(path))) for path in paths]
    keys = [key_of(path) for path in paths]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise BadOption(f"--method: {', '.join(twice)} twice; rename a file")
    stolen = sorted(set(keys) & set(taken))
    if stolen:
        raise BadOption(f"{', '.join(stolen)} is a method's key; rename the file")
    return dict(zip(keys, shas, strict=True))


def from_file(
    path: str | Path,
    options: Mapping[str, object] | None = None,
    beta: float | None = None,
) -> Candidate:
    """An objective from a file, after a trial on examples.

    Args:
        path: a Python file; it is executed.
        options: fields of its ``Config`` to replace.
        beta: replaces the ``beta`` of its ``Config``, if that has one.

    Raises:
        BadMethod: no such file, it cannot be executed, ``loss`` is missing or has not
            two arguments, returns another shape than one value per example, its value
            or gradient is not finite on ordinary examples, or it changes what it reads.
    """
    path = Path(path)
    text = _read(path)
    with alone(), undisturbed() as changed:
        module = _execute(path, text)
        with guarded(path, IMPORT, "Config cannot be made"):
            cfg = with_beta(_config(path, module, options or {}), beta)
    notes = [f"importing it changes {name}; that was undone" for name in changed]
    loss, reads = _loss(path, module)
    with alone():
        _trial(path, Subject(loss, reads, cfg))
        reward = _reward(path, module, cfg)
        # as the file has it: what fails here is a note, not a refusal
        notes += _lacks(path, Subject(loss.call, reads, cfg))
    with guarded(path, TRIAL, "cfg.beta is no number"):
        scale = _scale(cfg)
    if reward is None and scale is None:
        reward = _log_ratio
    hooks = {} if reward is None else {"implicit_reward": reward}
    card = Card(
        key_of(path), key_of(path), (), (), "", "", "", "", loop=offline, scale=scale,
        hooks=tuple(hooks),
    )  # fmt: skip
    return Candidate(card, loss, cfg, reads, hooks, tuple(notes), path, _sha256(text))


def _log_ratio(responses: ResponseLogps, cfg: Any) -> Tensor:
    """One reward unit per nat, where a file says nothing of its scale."""
    return responses.logratio()


def _scale(cfg: Any) -> str | None:
    """``beta`` if the file's Config has one: then its implicit reward is β·log-ratio.

    Raises:
        ValueError: it is no number.
    """
    beta = getattr(cfg, "beta", None)
    if beta is None:
        return None
    if not math.isfinite(float(beta)):
        raise ValueError(f"{beta} reward units per nat")
    return "beta"


def _read(path: Path) -> bytes:
    """The text of a Python file; once, so that what is named is what is executed."""
    if not os.path.lexists(path):
        raise BadMethod(path, "no such file")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no ordinary file"
        raise BadMethod(path, "not a Python file", f"it is {kind}")
    if path.suffix != ".py":
        raise BadMethod(path, "not a Python file", "its name has to end in .py")
    try:
        return path.read_bytes()
    except OSError as error:
        message = error.strerror or type(error).__name__
        raise BadMethod(path, "the file cannot be read", message) from error


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _execute(path: Path, text: bytes) -> ModuleType:
    module = ModuleType(f"entrant_{path.stem}")
    module.__file__ = os.fspath(path)
    # dataclasses look their module up there
    sys.modules[module.__name__] = module
    with guarded(path, IMPORT, "the file cannot be executed"):
        code = compile(text, os.fspath(path), "exec", dont_inherit=True)
        exec(code, vars(module))
    return module


def _config(path: Path, module: ModuleType, options: Mapping[str, object]) -> Any:
    made = vars(module).get("Config")
    if made is not None:
        return made(**options)
    if options:
        raise BadMethod(path, "no Config", f"nothing to set {', '.join(options)} on")
    return None


def _loss(path: Path, module: ModuleType) -> tuple[Watched, type]:
    """The file's loss, and the batch that it reads."""
    call = vars(module).get("loss")
    if not callable(call):
        raise BadMethod(path, "missing loss", "define loss(batch, cfg)")
    _check_arguments(path, "loss", call)
    with guarded(path, IMPORT, "unknown annotation"):
        reads = batch_class(call, PairLogps)
        kind_of(reads).maker(WORLD)
    return Watched(path, "loss", call, START), reads


def _check_arguments(path: Path, name: str, call: Callable) -> None:
    with guarded(path, IMPORT, "wrong arguments"):
        signature = inspect.signature(call)
        try:
            signature.bind(None, None)
        except TypeError:
            first = "batch" if name == "loss" else "responses"
            detail = f"{name} takes ({first}, cfg), not {signature}"
            raise BadMethod(path, "wrong arguments", detail, IMPORT) from None


def _reward(path: Path, module: ModuleType, cfg: Any) -> Watched | None:
    """The file's own implicit reward, after a trial; None if it has none."""
    if "reward" in vars(module):
        detail = "the function is called implicit_reward(responses, cfg)"
        raise BadMethod(path, "reward is an old name", detail, IMPORT)
    call = vars(module).get("implicit_reward")
    if call is None:
        return None
    if not callable(call):
        detail = "implicit_reward(responses, cfg) is a function, or is left out"
        raise BadMethod(path, "no function", detail, IMPORT)
    _check_arguments(path, "implicit_reward", call)
    reward = Watched(path, "implicit_reward", call, MEASURED)
    reward(Subject(call, ResponseLogps, cfg).example(), cfg, TRIAL)
    return reward


def _trial(path: Path, subject: Subject) -> None:
    """The loss on eight examples: shape, value, gradient, and what it leaves behind."""
    batch = leaves(subject.example())
    value = subject.loss(batch, subject.cfg, TRIAL)
    with guarded(path, TRIAL, "the gradient fails on an example"):
        found = gradients(value, batch)
    for name, gradient in found.items():
        if not gradient.isfinite().all():
            detail = f"with respect to {name}"
            raise BadMethod(path, "non-finite gradient", detail, TRIAL)


def _lacks(path: Path, subject: Subject) -> list[str]:
    """Generic properties that do not hold: warnings, for a loss may mean it so."""
    found = []
    for check in PROPERTIES.values():
        try:
            with guarded(path, TRIAL, "loss ends the program"), undisturbed():
                problem = check(subject)
        except BadMethod as error:
            if not isinstance(error.__cause__, Exception):
                raise
            problem = f"{check.__name__} could not be checked: {error.detail}"
        if problem:
            found.append(problem)
    return found
