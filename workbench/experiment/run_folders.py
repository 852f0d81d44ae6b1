"""Folders that training programs leave: which model is meant, and what was logged.

Read are those of transformers' Trainer (TRL's, Axolotl's): a final model or adapter,
``checkpoint-N`` folders, ``trainer_state.json``; LLaMA-Factory's, which have
``trainer_log.jsonl`` besides; and those of ``workbench train``.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.core.errors import BadCheckpoint, BadRun, printable
from workbench.experiment import field_names
from workbench.loops import run
from workbench.loops.folder import object_of, text_of

STATE, LOG = "trainer_state.json", "trainer_log.jsonl"
OURS, METRICS = "train.json", "metrics.csv"
# a model, an adapter, or pickles that are refused by name once they are loaded
WEIGHTS = ("model*.safetensors", "adapter_model.*", "pytorch_model*.bin")
ADVICE = "without its logs, audit the folder of the model alone"
LONGEST = 80  # characters of a curve's name
# LLaMA-Factory's short names
SHORT = {"lr": "learning_rate", "accuracy": "rewards/accuracies"}
PLACE = ("step", "current_steps")


@dataclass(frozen=True)
class Trained:
    """What a folder holds.

    Attributes:
        model: folder of the model or adapter.
        logged: name of a curve, as TRL calls it → its (step, value), by steps.
        notes: sentences on what was chosen.
    """

    model: Path
    logged: Mapping[str, list[tuple[int, float]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def frame(self):
        """DataFrame[name, step, value], a row per logged number."""
        import pandas as pd

        rows = [(name, *at) for name, curve in self.logged.items() for at in curve]
        return pd.DataFrame(rows, columns=["name", "step", "value"])


def find(folder: str | Path) -> Trained:
    """The model of a folder, and the curves that were logged while it was trained.

    A final model or adapter goes before ``checkpoint-N``, of which the last is taken.

    Raises:
        BadCheckpoint: there is no such folder, or it holds several runs.
        BadRun: what was logged cannot be read.
    """
    folder = Path(folder)
    if _is_folder(folder) and (folder / OURS).is_file():
        return _ours(folder)
    if _is_folder(folder) and (folder / "run.json").is_file():
        return Trained(folder / "policy", logged_in(folder))
    if not _is_folder(folder) or _has_weights(folder):
        notes = () if not _checkpoints(folder) else (f"{folder.name}: its final model",)
        return Trained(folder, logged_in(folder), notes)
    if last := [place for place in _checkpoints(folder) if _has_weights(place)]:
        note = f"{folder.name} has no final model: its {last[-1].name} is audited"
        return Trained(last[-1], logged_in(folder), (note,))
    return Trained(folder, {})  # loading it says what it lacks


def logged_in(folder: str | Path) -> dict[str, list[tuple[int, float]]]:
    """The curves of a folder: of it, of its last checkpoint, or of LLaMA-Factory's log.

    Raises:
        BadRun: a file of logs is damaged.
    """
    folder = Path(folder)
    for place in (folder, *reversed(_checkpoints(folder))):
        if (place / STATE).is_file():
            entries = object_of(place / STATE, ADVICE).get("log_history")
            return _curves(place / STATE, entries)
    if (folder / LOG).is_file():
        return _curves(folder / LOG, list(_lines(folder / LOG)))
    if (folder / METRICS).is_file() and (folder / "run.json").is_file():
        return ours_logged(folder)
    return {}


def ours_logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The metrics of one run of ``workbench train``, under the field's names."""
    _, frame = run.read(folder)
    found = {}
    for name in frame.columns.difference(["step", "seed"], sort=False):
        if frame[name].dtype.kind in "if":
            pairs = zip(frame["step"].tolist(), frame[name].tolist(), strict=True)
            curve = [(step, value) for step, value in pairs if math.isfinite(value)]
            found[field_names.of(name)] = curve
    return {name: curve for name, curve in found.items() if curve}


def _ours(folder: Path) -> Trained:
    """A folder of ``workbench train``: its one run."""
    runs = sorted(folder.glob("seed-*"))
    if len(runs) != 1:
        named = f"; name one, such as {runs[0] / 'policy'}" if runs else ""
        detail = f"it holds {len(runs)} runs of workbench train{named}"
        raise BadCheckpoint(folder, "no one run", detail)
    logged = logged_in(runs[0])
    return Trained(runs[0] / "policy", logged, (f"{folder.name}: its {runs[0].name}",))


def _is_folder(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _has_weights(folder: Path) -> bool:
    return any(found for way in WEIGHTS for found in folder.glob(way))


def _checkpoints(folder: Path) -> list[Path]:
    """The folders ``checkpoint-N``, by N."""
    if not _is_folder(folder):
        return []
    numbered = {
        int(found[1]): path
        for path in folder.iterdir()
        if (found := re.fullmatch(r"checkpoint-([0-9]{1,12})", path.name))
        and path.is_dir()
    }
    return [numbered[number] for number in sorted(numbered)]


def _lines(path: Path) -> Iterator[Any]:
    """The objects of a JSON-lines file; a last line that is cut is left out."""
    lines = text_of(path, ADVICE).splitlines()
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            if number < len(lines):
                detail = f"line {number} is no JSON; {ADVICE}"
                raise BadRun(path, "broken file", detail) from None


def _curves(path: Path, entries: Any) -> dict[str, list[tuple[int, float]]]:
    """Numbers by name and step; what is no finite number is no point of a curve."""
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        detail = f"its log_history is no list of objects; {ADVICE}"
        raise BadRun(path, "broken file", detail)
    found: dict[str, dict[int, float]] = {}
    for entry in entries:
        step = next((entry[name] for name in PLACE if name in entry), None)
        if not _is_number(step):
            continue
        for name, value in entry.items():
            if name not in PLACE and _is_number(value):
                shown = printable(SHORT.get(name, name), LONGEST)
                found.setdefault(shown, {})[int(step)] = float(value)
    return {name: sorted(curve.items()) for name, curve in found.items()}


def _is_number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and abs(value) < 1e300  # neither infinite nor NaN
