"""What the reader has answered in this session, for `progress` and for whoever listens.

A grader listens to the calls themselves: what a notebook prints proves nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One call of `teach.answer` or of a check.

    Attributes:
        kind: "answer" or "check".
        name: the exercise's id, or the method's key.
        value: what was passed: the answer, or the function.
        passed: what the reader was told.
    """

    kind: str
    name: str
    value: object
    passed: bool


ANSWERED: dict[str, bool] = {}  # exercise -> whether the last answer was right
_LISTENERS: list[Callable[[Event], None]] = []


def note(event: Event) -> None:
    """Keep an event and tell it to every listener."""
    if event.kind == "answer" and event.value is not None:
        ANSWERED[event.name] = event.passed
    for listener in _LISTENERS:
        listener(event)


def listen(listener: Callable[[Event], None]) -> None:
    """Be told every event from now on.

    Args:
        listener: called in the reader's process, after the verdict was computed.
    """
    _LISTENERS.append(listener)
