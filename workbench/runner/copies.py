"""Which copy of a lesson the site shows, and one line that says why.

The copy executed here, if it passed and is complete and of today's code; otherwise the
committed one, which holds the published outputs; otherwise the bare source. A file that
cannot be read is passed over, with the reason.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.runner import build
from workbench.runner.job import Settings

UNREADABLE = "the record of its execution here cannot be read"


@dataclass(frozen=True)
class Lesson:
    """A lesson as its source declares it.

    Attributes:
        name: such as `20_dpo`.
        title: its name where the source cannot be read.
        part: group in the series, may be empty.
        minutes: how long a reader takes, 0 if it does not say.
        notebook: built from the source, without outputs; None if that cannot be read.
    """

    name: str
    title: str
    part: str = ""
    minutes: int = 0
    notebook: Any = None

    @property
    def page(self) -> str:
        """File name of its page."""
        return f"{self.name}.html"


@dataclass(frozen=True)
class Copy:
    """One copy of a lesson.

    Attributes:
        notebook: with outputs, unless there is no copy that has any.
        note: why it is not the one executed here, in one line; empty if it is.
        seconds: how long that execution took, None if that is not known.
    """

    notebook: Any
    note: str = ""
    seconds: float | None = None


def lesson(path: Path) -> Lesson:
    """A lesson of a py:percent source."""
    state = path.stat()
    return _lesson(path, state.st_mtime_ns, state.st_size)


def copies(lesson: Lesson, settings: Settings) -> Iterator[Copy]:
    """The copies of a lesson that can be shown, the best first.

    Args:
        lesson: the lesson.
        settings: the profile whose executed copies come first.
    """
    why, seconds = _outcome(lesson.name, settings)
    if not why:
        executed, why = _executed(lesson, settings)
        if executed is not None:
            yield Copy(executed, seconds=seconds)
            why = "the copy executed here cannot be shown"
    notebook, fault = _read(settings.root / "notebooks" / f"{lesson.name}.ipynb")
    if notebook is not None and any(cell.get("outputs") for cell in notebook.cells):
        now = _of_today(lesson, notebook)
        changed = lesson.notebook is not None and now is None
        older = "; its code differs from the source's" if changed else ""
        older += "" if _is_complete(notebook) else "; not all of its cells have run"
        yield Copy(now or notebook, f"This is the published copy: {why}{older}.")
    bare, fault = lesson.notebook or notebook, fault or "has no outputs"
    if bare is not None:
        note = f"There are no outputs to show: {why}; the published copy {fault}."
        yield Copy(bare, note)


@lru_cache(maxsize=128)
def _lesson(path: Path, changed: int, size: int) -> Lesson:
    try:
        source = build.read(path)
    except Exception:  # whatever is wrong with one lesson costs no other its page
        return Lesson(path.stem, path.stem)
    return Lesson(path.stem, source.title, source.part, source.minutes, source.notebook)


def _outcome(name: str, settings: Settings) -> tuple[str, float | None]:
    """Why the executed copy is not to be shown, or nothing; and its seconds."""
    record = settings.folder / ".records" / f"{name}.json"
    if not record.exists():
        started = (settings.folder / f"{name}.ipynb").exists()
        return f"not executed {'to its end ' if started else ''}here yet", None
    try:
        outcome = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return UNREADABLE, None
    failures = outcome.get("failures") if isinstance(outcome, dict) else None
    if not isinstance(failures, list):
        return UNREADABLE, None
    if failures:
        kinds = ", ".join(dict.fromkeys(map(_kind, failures)))
        return f"the execution here failed ({kinds})", None
    try:
        return "", float(outcome.get("seconds"))
    except (TypeError, ValueError, OverflowError):
        return "", None


def _kind(failure: Any) -> str:
    """The kind of a failure: words only, for its message may name anything."""
    kind = failure.get("kind") if isinstance(failure, dict) else None
    known = isinstance(kind, str) and re.fullmatch(r"[a-z][a-z ]{0,30}", kind)
    return kind if known else "for an unknown reason"


def _executed(lesson: Lesson, settings: Settings) -> tuple[Any, str]:
    """The copy executed here with the prose of today, or None and why not."""
    if lesson.notebook is None:
        return None, "its source cannot be read"
    notebook, fault = _read(settings.folder / f"{lesson.name}.ipynb")
    if notebook is None:
        return None, f"the copy executed here {fault}"
    now = _of_today(lesson, notebook)
    if now is None:
        return None, "its code has changed since it was executed here"
    if not _is_complete(now):
        return None, "the copy executed here is incomplete"
    return now, ""


def _read(path: Path) -> tuple[Any, str]:
    """A notebook, or None and what is wrong with the file."""
    try:
        notebook = build.load(path)
    except FileNotFoundError:
        return None, "is missing"
    except (OSError, ValueError):
        return None, "cannot be read"
    sound = isinstance(notebook.metadata.get("workbench", {}), dict)
    return (notebook, "") if sound else (None, "cannot be read")


def _of_today(lesson: Lesson, notebook: Any) -> Any | None:
    """Outputs of a copy in today's cells; None if it is of other code."""
    if lesson.notebook is None:
        return None
    return build.carry_outputs(lesson.notebook, notebook)


def _is_complete(notebook: Any) -> bool:
    code = (cell for cell in notebook.cells if cell.cell_type == "code")
    return all(c.execution_count is not None for c in code if c.source.strip())
