"""The exercises of a lesson, as its cells state them: id, title, stars, minutes.

A heading such as ``**20-3 · Bug hunt** (●●○, 10 minutes).`` opens an exercise; the next
one, or any heading in ``#``, ends it. A star is a point.
"""

import re
from dataclasses import dataclass
from typing import Any

from workbench.teach.blocks import exercise_of, is_solution

OPENS = re.compile(
    r"^\*\*(?P<id>\d\d-\d+) · (?P<title>.+?)\*\* "
    r"\((?P<stars>[●○]{3}), (?P<minutes>\d+) minutes\)",
    re.M | re.S,
)
CHECK = re.compile(r"\bteach\.check\.(\w+)\(")


@dataclass(frozen=True)
class Task:
    """One exercise.

    Attributes:
        id: lesson and number, such as "20-3".
        title: such as "Bug hunt".
        points: its stars, 1 to 3.
        minutes: that it takes a reader.
        check: the method whose loss it asks for, None if it asks for an answer.
    """

    id: str
    title: str
    points: int
    minutes: int
    check: str | None = None


def tasks(notebook: Any) -> list[Task]:
    """The exercises of a lesson, in order.

    Args:
        notebook: the lesson, built from its source.
    """
    places = exercise_of(notebook.cells)
    found = []
    for cell in notebook.cells:
        for opened in OPENS.finditer(cell.source) if _is_text(cell) else ():
            mine = [
                c.source
                for c, id in zip(notebook.cells, places, strict=True)
                if id == opened["id"] and c.cell_type == "code" and not is_solution(c)
            ]
            checks = CHECK.findall("\n".join(mine))
            task = Task(
                id=opened["id"],
                title=" ".join(opened["title"].split()),
                points=opened["stars"].count("●"),
                minutes=int(opened["minutes"]),
                check=checks[0] if checks else None,
            )
            found.append(task)
    return found


def _is_text(cell: Any) -> bool:
    return cell.cell_type == "markdown"
