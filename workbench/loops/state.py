"""The state before a step: weights, Adam's moments and metrics, under checksums.

``tensors.safetensors`` holds the numbers; ``progress.json`` the step, the metric rows
and the checksums of both files, so that a flipped bit is an error and no other run.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor

from workbench.core.contracts import Trainable
from workbench.loops.folder import (
    broken,
    digest,
    object_of,
    sound,
    sync,
    text_of,
    write,
    written,
)

TENSORS, PROGRESS = "tensors.safetensors", "progress.json"
CHANGED = "its checksum says that it was changed"
_MOMENT = re.compile(r"optimizer/([0-9]{1,9})/(\w+)")


def pack(modules: Mapping[str, Trainable], optimizer) -> dict[str, Tensor]:
    """Every tensor of a run under a name of its own."""
    tensors = _parameters(modules)
    for number, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"optimizer/{number}/{key}"] = torch.as_tensor(value)
    return {k: v.detach().contiguous().clone() for k, v in tensors.items()}


def unpack(folder: Path, tensors: dict, modules: Mapping, optimizer) -> None:
    """Put tensors back where ``pack`` took them.

    Raises:
        BadRun: they are those of other modules; nothing has been changed.
    """
    _check_fit(folder / TENSORS, tensors, _parameters(modules), optimizer)
    for name, module in modules.items():
        prefix = name + "/"
        own = {k: v for k, v in tensors.items() if k.startswith(prefix)}
        module.load_state_dict({k.removeprefix(prefix): v for k, v in own.items()})
    state = optimizer.state_dict()
    for key, value in tensors.items():
        if match := _MOMENT.fullmatch(key):
            state["state"].setdefault(int(match[1]), {})[match[2]] = value
    optimizer.load_state_dict(state)


def keep(folder: Path, step: int, rows: list[dict], tensors: dict) -> None:
    """Write a state into a folder of its own, and have it on the disk.

    Raises:
        OSError: it cannot be written.
        BadRun: safetensors cannot write it.
    """
    from safetensors.torch import save_file

    path = folder / TENSORS
    with written(path):
        save_file(tensors, path)
        sync(path)
        progress = {"step": step, "rows": rows, "tensors": digest(path)}
    write(folder / PROGRESS, _sealed(progress))


def read(folder: Path, steps: int | None) -> tuple[int, list[dict], dict[str, Tensor]]:
    """A state as it was kept.

    Args:
        folder: of one step.
        steps: of the whole run, if that is known.

    Returns:
        (step, metric rows, tensors).

    Raises:
        BadRun: a file is missing or is not what was written.
    """
    from safetensors.torch import load_file

    if not folder.is_dir():
        raise broken(folder, "this folder is missing")
    progress = object_of(folder / PROGRESS)
    with sound(folder / PROGRESS):
        _check_progress(folder, progress, steps)
    path = folder / TENSORS
    with sound(path):
        if digest(path) != progress.get("tensors"):
            raise broken(path, CHANGED)
        return progress["step"], progress["rows"], load_file(path)


def _check_progress(folder: Path, progress: dict, steps: int | None) -> None:
    path = folder / PROGRESS
    step, rows = progress.get("step"), progress.get("rows")
    if not _whole(step) or not 0 <= step <= (step if steps is None else steps):
        raise broken(path, f"its step is {step!r}, and the run has steps 0 to {steps}")
    if not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise broken(path, "its rows are no rows of metrics")
    rest = {key: value for key, value in progress.items() if key != "sha256"}
    if text_of(path) != _sealed(rest) or folder.name != f"step-{step}":
        raise broken(path, CHANGED)


def _parameters(modules: Mapping[str, Trainable]) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def _sealed(progress: dict) -> str:
    """The text of progress.json; floats come back as they were: it can be remade."""
    seal = hashlib.sha256(json.dumps(progress).encode()).hexdigest()
    return json.dumps(progress | {"sha256": seal})


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_row(row: object) -> bool:
    return isinstance(row, dict) and _whole(row.get("step")) and _whole(row.get("seed"))


def _check_fit(path: Path, tensors: dict, own: dict, optimizer) -> None:
    """Every tensor has a place, and every place but a moment's has a tensor."""
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    shapes = {key: {value.shape} for key, value in own.items()}
    for key in tensors:
        if (match := _MOMENT.fullmatch(key)) and int(match[1]) < len(trained):
            # Adam counts its steps in a scalar
            shapes[key] = {trained[int(match[1])].shape, torch.Size()}
    strange = shapes.keys() ^ tensors.keys()
    strange |= {k for k, v in tensors.items() if v.shape not in shapes.get(k, ())}
    if strange:
        raise broken(path, f"{min(strange)} is not of this model")
