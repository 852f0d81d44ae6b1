"""What the process of a submission notes down, and how the library is kept whole there.

After each cell every rebinding of a name of the library, of `torch`'s functions, `math`
and the builtins is undone, and what a student passed to a check is examined again. See
:mod:`workbench.classroom.warden` for what that does and does not defend.
"""

import builtins
import importlib
import itertools
import math
import sys
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from workbench.teach import check, record

LONGEST = 1_000  # numbers in an answer, characters in a text
FOREIGN = ("torch", "torch.nn.functional", "torch.autograd", "torch.linalg")


class Guard:
    """The library as it was before the first cell."""

    def __init__(self) -> None:
        self._kept = [(name, owner, dict(vars(owner))) for name, owner in _owners()]
        self._code = {
            value: (value.__code__, value.__defaults__, value.__kwdefaults__)
            for _, _, names in self._kept
            for value in names.values()
            if isinstance(value, FunctionType)
        }

    def restore(self) -> list[str]:
        """Undo what was rebound; returns its names."""
        changed = []
        for owner_name, owner, names in self._kept:
            for name, value in names.items():
                data = name.startswith("__") and not callable(value)
                now = vars(owner).get(name)
                if data or now is value:
                    continue
                setattr(owner, name, value)
                if not _own_doing(owner_name, now):
                    changed.append(f"{owner_name}.{name}")
        for function, kept in self._code.items():
            code, defaults, named = kept
            if function.__code__ is not code or function.__defaults__ is not defaults:
                changed.append(f"{function.__module__}.{function.__name__}")
                function.__code__, function.__defaults__ = code, defaults
            function.__kwdefaults__ = named
        return changed


def _own_doing(owner: str, value: object) -> bool:
    """Whether a package wrapped its own function, as torch does with `manual_seed`."""
    module = str(getattr(value, "__module__", "")).split(".")[0]
    return module == owner.split(".")[0] == "torch"


def _owners() -> Iterator[tuple[str, Any]]:
    """Modules and classes whose names a forgery would rebind."""
    import torch

    check.__dir__()  # brings in the module of every method
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] != "workbench" or not isinstance(module, ModuleType):
            continue
        yield name, module
        for key, value in list(vars(module).items()):
            if isinstance(value, type) and value.__module__ == name:
                yield f"{name}.{key}", value
    for name in FOREIGN:
        yield name, importlib.import_module(name)
    yield "torch.Tensor", torch.Tensor
    yield "math", math
    yield "builtins", builtins


class Recorder:
    """Notes the answers and checks of each cell.

    Args:
        send: gets one plain record (a dictionary of JSON values) per event.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None]):
        self._send, self._heard = send, []
        self._examined = check.examined
        self._modules = {m.card.key: m for m in _methods()}
        self.guard = Guard()
        record.listen(self._heard.append)

    def after(self, cell: int) -> None:
        """Mend the library and send what a cell passed to it.

        Args:
            cell: its number in the notebook.
        """
        changed = self.guard.restore()
        if changed:
            self._send({"event": "changed", "cell": cell, "names": changed[:5]})
        heard, self._heard[:] = list(self._heard), []
        for event in heard:
            if event.kind == "answer":
                told = {"name": str(event.name)[:40], "value": plain(event.value)}
                self._send({"event": "answer", "cell": cell, **told})
            elif event.name in self._modules:
                self._send({"event": "check", "cell": cell, **self._verdict(event)})

    def _verdict(self, event: record.Event) -> dict[str, Any]:
        """The check once more, with the library as it was."""
        module, function = self._modules[event.name], event.value
        if _is_librarys(function):
            words = "this is the library's own function, not one of the notebook"
            return {"name": event.name, "passed": False, "message": words}
        verdict = self._examined(module, function)
        message = verdict.message[:LONGEST]
        return {"name": event.name, "passed": verdict.passed, "message": message}


def plain(value: object) -> Any:
    """An answer as JSON: None, a text, a number, a list of numbers, or what it is not.

    Args:
        value: what a student passed to `teach.answer`.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return str(value)[:LONGEST]
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        pass
    try:
        numbers = [float(number) for number in itertools.islice(value, LONGEST)]
    except Exception:
        return {"odd": type(value).__name__[:40]}
    return numbers


def _methods() -> list[ModuleType]:
    return list(check.checkable().values())


def _is_librarys(function: object) -> bool:
    module = getattr(function, "__module__", "")
    return isinstance(module, str) and module.split(".")[0] == "workbench"
