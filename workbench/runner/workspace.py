"""Working copies of the lessons, so that reading one never changes the repository.

``notebooks/NN_name.ipynb`` is what was published; ``work/NN_name.ipynb``, which git
ignores, is what a reader opens, runs and saves. A copy is renewed when its lesson
changes, unless the reader has changed it.
"""

import hashlib
import json
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.claimed import claimed
from workbench.core.errors import printable

FOLDER = "work"
RECORD = ".copied.json"  # what each copy held when it was made
# A lesson in `work/` links to `../GLOSSARY.md`, and JupyterLab, which serves `work/`
# as its root, finds it there.
GLOSSARY = "GLOSSARY.md"


@dataclass(frozen=True)
class Workspace:
    """The folder of working copies, brought up to date.

    Attributes:
        folder: where the copies stand.
        ready: names of the copies that can be opened, in order.
        told: sentences for the reader, one per lesson that needs attention.
    """

    folder: Path
    ready: tuple[str, ...]
    told: tuple[str, ...]


def renew(root: Path, fresh: Collection[str] = ()) -> Workspace:
    """Copy what is missing, renew what is old, and leave a reader's changes alone.

    Args:
        root: the clone.
        fresh: names of lessons to renew even where the reader changed the copy, which
            is then kept under another name.

    Returns:
        the copies, and what there is to say about them.

    Raises:
        BadRun: another process is renewing them, or ``work`` is no folder.
    """
    folder = root / FOLDER
    lessons = sorted((root / "notebooks").glob("[0-9][0-9]*_*.ipynb"))
    ready, told = [], []
    with claimed(folder):
        record = _read(folder / RECORD)
        for lesson in lessons:
            copy = _Copy(lesson, folder / lesson.name, record.get(lesson.stem, {}))
            told += copy.renew(lesson.stem in fresh)
            record[lesson.stem] = copy.made
            if copy.readable:
                ready.append(lesson.stem)
        record[GLOSSARY] = _renew_text(
            root / GLOSSARY, folder, record.get(GLOSSARY, {})
        )
        text = json.dumps(record, indent=1, sort_keys=True) + "\n"
        _put(folder / RECORD, text.encode())
    missing = sorted(set(fresh) - {lesson.stem for lesson in lessons})
    told += [f"there is no notebooks/{name}.ipynb to copy" for name in missing]
    return Workspace(folder, tuple(ready), tuple(map(printable, told)))


def digest(data: bytes) -> str:
    """Hash of what a notebook says: cells, their tags and outputs, not its layout.

    JupyterLab writes a notebook's file anew without the reader having changed anything.

    Args:
        data: the file.

    Raises:
        ValueError: it is no notebook; the message is a phrase that says why.
    """
    cells = [
        {
            "tags": cell.get("metadata", {}).get("tags", []),
            "outputs": [
                {k: v for k, v in output.items() if k != "execution_count"}
                for output in cell.get("outputs", [])
            ],
        }
        | {key: cell.get(key) for key in ("cell_type", "source", "attachments")}
        for cell in _cells(data)
    ]
    return _hash(json.dumps(_joined(cells), sort_keys=True).encode())


class _Copy:
    """One lesson and its working copy.

    Attributes:
        made: of the copy when it was made: the lesson's hash and its own digest.
        readable: whether the copy is a notebook.
    """

    def __init__(self, lesson: Path, path: Path, made: dict[str, str]):
        self.lesson, self.path, self.made = lesson, path, made
        self.readable = False
        self._shown = f"{FOLDER}/{path.name}"
        number, _, _ = lesson.stem.partition("_")
        self._fresh = f"`workbench lab --fresh {number}`"

    def renew(self, fresh: bool) -> list[str]:
        """Bring the copy up to date; returns what there is to say about it."""
        here = os.path.lexists(self.path)
        now, broken = _look(self.path) if here else (None, "")
        self.readable = now is not None
        new, bad = _look(self.lesson)
        if new is None:
            rest = f"{self._shown} is left alone" if here else "it is not copied"
            return [f"notebooks/{self.lesson.name}: {bad}: {rest}"]
        newer = _hash(self.lesson.read_bytes()) != self.made.get("lesson")
        unchanged = now is not None and now in (new, self.made.get("copy"))
        if not here or unchanged:
            if newer or not here:
                self._copy(new)
            return []
        if fresh:
            kept = _free(self.path)
            self.path.rename(kept)
            self._copy(new)
            return [f"{self._shown} is the lesson again; yours is {FOLDER}/{kept.name}"]
        if broken:
            return [f"{self._shown}: {broken}: left alone; {self._fresh} renews it"]
        if not newer:
            return []
        why = "has your changes, and there is a newer lesson"
        if not self.made:  # the record is lost: nobody knows what it was made from
            why = "differs from its lesson and is left alone"
        return [f"{self._shown} {why}: {self._fresh} renews it and keeps yours"]

    def _copy(self, new: str) -> None:
        data = self.lesson.read_bytes()
        _put(self.path, data)
        self.made, self.readable = {"lesson": _hash(data), "copy": new}, True


def _renew_text(source: Path, folder: Path, made: dict[str, str]) -> dict[str, str]:
    """Copy a text unless the reader changed the copy; what the copy was when made."""
    copy = folder / source.name
    try:
        data = source.read_bytes()
        if copy.exists() and _hash(copy.read_bytes()) != made.get("copy"):
            return made
    except OSError:  # a clone without a glossary, or a copy that cannot be read
        return made
    _put(copy, data)
    return {"copy": _hash(data)}


def _look(path: Path) -> tuple[str | None, str]:
    """A notebook's digest, or None and why there is none."""
    try:
        return digest(path.read_bytes()), ""
    except OSError as error:
        return None, f"it cannot be read ({error.strerror or error})"
    except ValueError as error:
        return None, str(error)


def _cells(data: bytes) -> list[dict[str, Any]]:
    """The cells of a notebook; raises ValueError with a phrase."""
    if not data.strip():
        raise ValueError("it is empty")
    if any(line.startswith(b"<<<<<<< ") for line in data.splitlines()):
        raise ValueError("it holds git's conflict markers")
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is cut off or damaged, no JSON") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or notebook.get("nbformat") != 4:
        raise ValueError("it is no notebook of format 4")
    if not all(map(_is_cell, cells)):
        raise ValueError("a cell of it is damaged")
    return cells


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, dict) or "source" not in cell:
        return False
    outputs = cell.get("outputs", [])
    return (
        isinstance(cell.get("metadata", {}), dict)
        and isinstance(outputs, list)
        and all(isinstance(output, dict) for output in outputs)
    )


def _joined(value: Any) -> Any:
    """The same without the choice that the format leaves: one text, or its lines."""
    if isinstance(value, dict):
        return {key: _joined(part) for key, part in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(part, str) for part in value):
            return "".join(value)
        return [_joined(part) for part in value]
    return value


def _free(path: Path) -> Path:
    """A name for what stood at `path` that nothing has yet."""
    stem = f"{path.stem} (before {time.strftime('%Y-%m-%d %H.%M.%S')}"
    kept, number = path.with_name(f"{stem}){path.suffix}"), 1
    while os.path.lexists(kept):
        number += 1
        kept = path.with_name(f"{stem}, {number}){path.suffix}")
    return kept


def _put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, dict[str, str]]:
    """The record of an earlier call; a damaged one says nothing."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    pairs = record.items() if isinstance(record, dict) else ()
    return {name: made for name, made in pairs if _is_made(made)}


def _is_made(made: Any) -> bool:
    return isinstance(made, dict) and all(isinstance(v, str) for v in made.values())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
