"""Who takes part: the methods of a family, and objectives from files outside.

A file needs a function ``loss(batch, cfg)`` that returns one value per example. ``cfg``
is the file's ``Config()`` if it has one, else None. The annotation of ``batch`` says
what the loss reads; without one it is a pair (``PairLogps``).
"""

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from workbench import catalogue
from workbench.core import batches
from workbench.core.batches import ResponseLogps
from workbench.core.errors import BadFile, BadOption, MissingInput
from workbench.feedback.supply import kind
from workbench.teach.properties import (
    PROPERTIES,
    Subject,
    batch_class,
    gradients,
    leaves,
)


class BadMethod(BadFile):
    """A file holds no objective that can be trained."""


@dataclass(frozen=True)
class Entrant:
    """One objective with its settings.

    Attributes:
        key: its name in the table.
        loss: ``loss(batch, cfg)``, one value per example.
        cfg: its settings.
        batch_class: what it reads.
        notes: sentences for the user, such as a generic property that it lacks.
        outside: True for an objective from a file.
        reward: ``reward(responses, cfg)`` of the module, if it has one.
        stage: makes the module's own data or model, if it needs them.
    """

    key: str
    loss: Callable
    cfg: Any
    batch_class: type
    notes: tuple[str, ...] = ()
    outside: bool = False
    reward: Callable | None = None
    stage: Callable | None = None

    def score(self, responses: ResponseLogps) -> Tensor:
        """The implicit reward: the module's own, or β times the log-ratio."""
        if self.reward is not None:
            return self.reward(responses, self.cfg)
        return self.beta * responses.logratio()

    @property
    def beta(self) -> float:
        """Reward units per nat of log-ratio; 1 where the settings name none."""
        held = vars(self.cfg) if is_dataclass(self.cfg) else {}
        return held.get("beta", 1.0)

    @property
    def card(self) -> "Entrant":
        """What a loop asks of a method: ``card.key``."""
        return self


def entrants(
    family: str, beta: float | None = None
) -> tuple[list[Entrant], dict[str, str]]:
    """Every method of a family that has a loss on labels.

    Args:
        family: a folder of ``workbench.methods``.
        beta: replaces ``beta`` in every Config that has one; the published defaults if
            None.

    Returns:
        the entrants; and the reason of each method that cannot take part, by key.

    Raises:
        BadOption: there is no such family.
    """
    found, left_out = [], {}
    modules = catalogue.methods().values()
    members = [m for m in modules if m.card.family == family]
    if not members:
        known = ", ".join(sorted({m.card.family for m in modules}))
        raise BadOption(f"no family {family!r}; there are {known}")
    for module in members:
        key, held = module.card.key, vars(module)
        reason = _obstacle(module)
        if reason:
            left_out[key] = reason
            continue
        own = {"reward": held.get("reward"), "stage": held.get("stage")}
        cfg, reads = _at(module.Config(), beta), batch_class(module.loss)
        found.append(Entrant(key, module.loss, cfg, reads, **own))
    return found, left_out


def _at(cfg: Any, beta: float | None) -> Any:
    held = {field.name for field in fields(cfg)} if is_dataclass(cfg) else set()
    return replace(cfg, beta=beta) if beta is not None and "beta" in held else cfg


def _obstacle(module: ModuleType) -> str | None:
    """Why a method of the library cannot take part, in a sentence."""
    where = f"notebook {module.card.notebook} shows it"
    if "loss" not in vars(module):
        return f"it has no loss on labels, but a closed form; {where}"
    if "stage" in vars(module):
        return None
    try:
        kind(batch_class(module.loss))
    except MissingInput as error:
        return f"{error}; {where}"
    return None


def from_file(path: str | Path, options: Mapping[str, object] | None = None) -> Entrant:
    """An objective from a file, after a trial on examples.

    Args:
        path: a Python file; it is executed.
        options: fields of its ``Config`` to replace.

    Raises:
        BadMethod: no such file, it cannot be executed, ``loss`` is missing or has not
            two arguments, returns another shape than one value per example, or its
            value or gradient is not finite on ordinary examples.
    """
    path = Path(path)
    module = _execute(path)
    loss = vars(module).get("loss")
    if not callable(loss):
        raise BadMethod(path, "missing loss", "define loss(batch, cfg)")
    try:
        inspect.signature(loss).bind(None, None)
    except TypeError:
        detail = f"loss takes (batch, cfg), not {inspect.signature(loss)}"
        raise BadMethod(path, "wrong arguments", detail) from None
    reads = _reads(path, module)
    cfg = _config(path, module, options or {})
    subject = Subject(loss, reads, cfg)
    _trial(path, subject)
    notes = tuple(_lacks(subject))
    own = vars(module).get("reward")
    return Entrant(path.stem, loss, cfg, reads, notes, outside=True, reward=own)


def _execute(path: Path) -> ModuleType:
    if not path.is_file():
        raise BadMethod(path, "no such file")
    spec = importlib.util.spec_from_file_location(f"entrant_{path.stem}", path)
    if spec is None:
        raise BadMethod(path, "not a Python file", "its name ends in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        raise BadMethod(path, "the file cannot be executed", detail) from error
    return module


def _reads(path: Path, module: ModuleType) -> type:
    try:
        reads = batch_class(vars(module)["loss"], batches.PairLogps)
        kind(reads)
    except (NameError, TypeError, ValueError) as error:
        raise BadMethod(path, "unknown annotation", str(error)) from None
    return reads


def _config(path: Path, module: ModuleType, options: Mapping[str, object]) -> Any:
    made = vars(module).get("Config")
    if made is None:
        if options:
            raise BadMethod(
                path, "no Config", f"nothing to set {', '.join(options)} on"
            )
        return None
    try:
        return made(**options)
    except (TypeError, ValueError) as error:
        raise BadMethod(path, "Config cannot be made", str(error)) from None


def _trial(path: Path, subject: Subject) -> None:
    """The loss on eight examples: shape, value, gradient."""
    batch = leaves(subject.example())
    try:
        value = subject.loss(batch, subject.cfg)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        raise BadMethod(path, "loss fails on an example", detail) from error
    if not isinstance(value, Tensor) or value.shape != (8,):
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value)
        detail = f"8 examples gave {got}; one value per example, no mean over them"
        raise BadMethod(path, "wrong shape", detail)
    if not value.isfinite().all():
        raise BadMethod(path, "non-finite loss", f"on ordinary examples: {value}")
    if not value.requires_grad:
        detail = "nothing of the policy is left in the loss; was it detached?"
        raise BadMethod(path, "no gradient", detail)
    for name, gradient in gradients(value, batch).items():
        if not gradient.isfinite().all():
            raise BadMethod(path, "non-finite gradient", f"with respect to {name}")


def _lacks(subject: Subject) -> list[str]:
    """Generic properties that do not hold: warnings, for a loss may mean it so."""
    found = []
    for check in PROPERTIES.values():
        try:
            problem = check(subject)
        except (RuntimeError, IndexError, MissingInput) as error:
            problem = f"{check.__name__} could not be checked: {error}"
        if problem:
            found.append(problem)
    return found
