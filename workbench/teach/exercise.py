"""Check the number or the choice that answers an exercise, and give hints.

Each lesson has a file ``exercises/NN.toml`` with a table per exercise::

    ["20-2"]
    right = 0.78            # a number, a text (a choice), or a list of numbers
    within = 0.02           # how far a number may be off, in its unit
    unit = "reward units per nat"
    because = "the sum of two halves is one."
    hints = ["First, look at …", "Then …"]

    [["20-2".wrong]]
    value = 0.39
    why = "this divides by all ordered pairs; each pair has one winner."

An exercise that :mod:`workbench.teach.check` examines has hints only; ``read = true``
marks one that only a teacher can judge. A right answer in such a file is no fixed
truth: the lesson's solution computes it anew in every run and :func:`solution` fails
the lesson when the two differ.
"""

import functools
import html
import math
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from workbench.core.suggest import suggest
from workbench.teach import record
from workbench.teach.box import colour_of, framed, sign

Value = Any  # a number, a text, or several numbers (a list, a tensor)


@dataclass(frozen=True)
class Exercise:
    """What is known about an exercise.

    Attributes:
        id: lesson and number, such as "20-2".
        hints: from vague to plain.
        right: the answer; None where a check of code takes its place.
        within: how far a number may be off.
        unit: unit of a number.
        because: why the answer is right, a sentence.
        wrong: typical wrong answers with the reason of each.
        read: an experiment of the reader's own, which a teacher reads: no check of it
            can be passed or failed.
    """

    id: str
    hints: tuple[str, ...] = ()
    right: Value | None = None
    within: float | int = 0.0
    unit: str = ""
    because: str = ""
    wrong: tuple[dict, ...] = field(default=())
    read: bool = False

    def same(self, value: object, other: object) -> bool:
        """Whether an answer is this one: text by its words, numbers within a limit."""
        if isinstance(other, str) or isinstance(value, str):
            return str(value).strip().lower() == str(other).strip().lower()
        mine, theirs = _numbers(value), _numbers(other)
        return len(mine) == len(theirs) and all(
            math.isclose(a, b, rel_tol=1e-9, abs_tol=self.within)
            for a, b in zip(mine, theirs, strict=True)
        )


@dataclass(frozen=True)
class Marked:
    """An answer with its verdict."""

    id: str
    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"{sign(self.passed)} {self.id}: {self.message}"

    def _repr_html_(self) -> str:
        return framed(html.escape(repr(self)), colour_of(self.passed))


@functools.cache
def exercises(lesson: str) -> dict[str, Exercise]:
    """The exercises of a lesson, by id.

    Args:
        lesson: its number, such as "20".
    """
    file = resources.files("workbench.teach.exercises") / f"{lesson}.toml"
    if not file.is_file():
        return {}
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        id: Exercise(
            id=id,
            **table | {name: tuple(table.get(name, ())) for name in ("hints", "wrong")},
        )
        for id, table in tables.items()
    }


def answer(id: str, value: Value | None = None) -> Marked:
    """Check a number or a choice.

    Args:
        id: the exercise, such as "20-2".
        value: the answer; None shows that there is none yet.

    Raises:
        KeyError: there is no such exercise, or it has no answer to compare with.
    """
    marked = mark(id, value)
    record.note(record.Event("answer", id, value, marked.passed))
    return marked


def mark(id: str, value: Value | None) -> Marked:
    """The verdict on an answer; nobody is told that it was given. See `answer`."""
    exercise = _find(id)
    if exercise.right is None:
        raise KeyError(f"exercise {id} asks for code: teach.check examines it")
    if value is None:
        return Marked(id, False, f"no answer yet; teach.hint({id!r}) gives a hint.")
    if exercise.same(value, exercise.right):
        return Marked(id, True, f"right. {exercise.because}".strip())
    for typical in exercise.wrong:
        if exercise.same(value, typical["value"]):
            return Marked(id, False, typical["why"])
    return Marked(id, False, _near(exercise, value))


def solution(id: str, value: Value) -> Marked:
    """Show a solution's answer; it must be the one that readers are checked against.

    Raises:
        AssertionError: the computed answer is not the stored one.
    """
    marked = mark(id, value)
    if not marked:
        right = _find(id).right
        raise AssertionError(f"{id}: the solution gives {value}, stored is {right}")
    return marked


_GIVEN: dict[str, int] = {}


def hint(id: str) -> Marked:
    """The next hint of an exercise; after the last one the first comes again."""
    exercise = _find(id)
    if not exercise.hints:
        raise KeyError(f"exercise {id} has no hints")
    number = _GIVEN.get(id, 0) % len(exercise.hints)
    _GIVEN[id] = number + 1
    head = f"hint {number + 1} of {len(exercise.hints)}"
    return Marked(id, True, f"{head}: {exercise.hints[number]}")


def _find(id: str) -> Exercise:
    known = exercises(id.partition("-")[0])
    if id not in known:
        raise KeyError(f"no exercise {id!r}{suggest(id, known) or ''}")
    return known[id]


def _numbers(value: Any) -> list[float]:
    try:
        return [float(number) for number in value]
    except TypeError:
        return [float(value)]


def _near(exercise: Exercise, value: Value) -> str:
    """A sentence about an answer that is none of the typical ones."""
    more = f"teach.hint({exercise.id!r}) gives a hint."
    if isinstance(value, str) or isinstance(exercise.right, str):
        return f"{value!r} is not the answer. {more}"
    mine, right = _numbers(value), _numbers(exercise.right)
    if len(mine) != len(right):
        return f"{len(right)} numbers are asked for, not {len(mine)}."
    if all(math.isclose(a, -b, rel_tol=1e-3) for a, b in zip(mine, right, strict=True)):
        return "the size is right and the sign is wrong."
    unit = f" (in {exercise.unit})" if exercise.unit else ""
    if len(mine) == 1:
        side = "large" if mine[0] > right[0] else "small"
        return f"{mine[0]:.4g} is too {side}{unit}. {more}"
    off = [
        str(i + 1)
        for i, (a, b) in enumerate(zip(mine, right, strict=True))
        if not math.isclose(a, b, rel_tol=1e-9, abs_tol=exercise.within)
    ]
    return f"number {', '.join(off)} is not right{unit}. {more}"
