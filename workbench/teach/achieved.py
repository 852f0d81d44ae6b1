"""What a reader has done: predictions made, exercises passed.

Two places know it. This kernel knows what was predicted and answered in it. The
notebooks beside this one hold what was shown when they were last saved; solutions count
for nothing there. Nothing is written.
"""

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.teach import kept, record
from workbench.teach.blocks import exercise_of, is_solution, source
from workbench.teach.box import sign
from workbench.teach.exercise import exercises
from workbench.teach.predict import ASKED, UNWRITTEN

ASKS = re.compile(r'\bteach\.predict\(\s*"(\d\d-\d+)"')
PREDICTED = re.compile(r"^Prediction (\d\d-\d+): .* Your answer: (.+)$", re.M)
PASSED = re.compile(rf"^{sign(True)} ([\w-]+): ", re.M)
NOTE = "The notebooks in this folder are read as they were last saved."


@dataclass(frozen=True)
class Lesson:
    """How far one lesson is.

    Attributes:
        number: such as "20".
        asked: ids of its predictions.
        predicted: those that have an answer.
        set: ids of its exercises.
        passed: those that were passed.
    """

    number: str
    asked: frozenset[str]
    predicted: frozenset[str]
    set: frozenset[str]
    passed: frozenset[str]

    @property
    def left(self) -> list[str]:
        """Exercises that are not passed, in order."""
        return sorted(self.set - self.passed, key=_order)

    def row(self) -> tuple[str, str, str, str]:
        """Number, predictions, exercises, what is left."""
        predicted = f"{len(self.predicted)} of {len(self.asked)}"
        passed = f"{len(self.passed)} of {len(self.set)}"
        return self.number, predicted, passed, ", ".join(self.left)


@dataclass(frozen=True)
class Progress:
    """All lessons that were found, in order."""

    lessons: tuple[Lesson, ...]

    def _rows(self) -> list[tuple[str, str, str, str]]:
        head = ("lesson", "predictions", "exercises", "still open")
        return [head, *(lesson.row() for lesson in self.lessons)]

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join([*map(str.ljust, r, widths), r[3]]).rstrip() for r in rows]
        return "\n".join([*lines, NOTE])

    def _repr_html_(self) -> str:
        head, *body = self._rows()
        top = "".join(f"<th scope='col'>{html.escape(text)}</th>" for text in head)
        lines = "".join(
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>"
            for row in body
        )
        return f"<table><tr>{top}</tr>{lines}</table><p>{NOTE}</p>"


def progress(folder: str | Path | None = None) -> Progress:
    """Which predictions and exercises are done, of all lessons in a folder.

    Args:
        folder: of the notebooks; the one this notebook runs in if None.
    """
    folder = Path.cwd() if folder is None else Path(folder)
    asked, predicted = set(ASKED), set(kept.answers(folder))
    predicted |= {id for id, one in ASKED.items() if one.mine}
    passed = {id for id, right in record.ANSWERED.items() if right}
    numbers = {id[:2] for id in asked | set(record.ANSWERED)}
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        cells = list(_cells(path))
        numbers.add(path.name[:2])
        asked |= {id for cell in cells for id in _asked(cell)}
        predicted |= _predicted(cells)
        passed |= _passed(cells)
    return Progress(
        tuple(_lesson(number, asked, predicted, passed) for number in sorted(numbers))
    )


def _lesson(number: str, asked: set, predicted: set, passed: set) -> Lesson:
    of = {id for id in asked if id.startswith(number)}
    known = set(exercises(number))
    return Lesson(
        number,
        frozenset(of),
        frozenset(of & predicted),
        frozenset(known),
        frozenset(known & passed),
    )


def _cells(path: Path) -> Iterable[Mapping[str, Any]]:
    """The cells of a notebook that are whole; a damaged file has none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    for cell in found if isinstance(found, list) else ():
        if isinstance(cell, dict) and isinstance(cell.get("metadata", {}), dict):
            yield cell


def _asked(cell: Mapping[str, Any]) -> list[str]:
    return [] if is_solution(cell) else ASKS.findall(source(cell))


def _predicted(cells: list[Mapping[str, Any]]) -> set[str]:
    told = (match for cell in cells for match in PREDICTED.findall(_shown(cell)))
    return {id for id, answer in told if answer != UNWRITTEN}


def _passed(cells: list[Mapping[str, Any]]) -> set[str]:
    """An answer names its exercise; a check stands below the exercise's text."""
    found = set()
    for cell, here in zip(cells, exercise_of(cells), strict=True):
        if is_solution(cell):
            continue
        for name in PASSED.findall(_shown(cell)):
            if re.fullmatch(r"\d\d-\d+", name):
                found.add(name)
            elif here and _asks_code(here):
                found.add(here)
    return found


def _asks_code(id: str) -> bool:
    exercise = exercises(id[:2]).get(id)
    return exercise is not None and exercise.right is None


def _shown(cell: Mapping[str, Any]) -> str:
    """What the outputs of a cell show as plain text."""
    parts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {}) if isinstance(output, dict) else {}
        text = data.get("text/plain", "") if isinstance(data, dict) else ""
        parts.append(text if isinstance(text, str) else "".join(map(str, text)))
    return "\n".join(parts)


def _order(id: str) -> tuple[str, int]:
    lesson, _, number = id.partition("-")
    return lesson, int(number)
