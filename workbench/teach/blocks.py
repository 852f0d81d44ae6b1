"""Which cells belong to which exercise: from its text to the next heading.

A text such as ``**20-3 · Bug hunt** (●●○, 10 minutes).`` opens an exercise.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

ID = re.compile(r"^\*\*(\d\d-\d+) · ", re.M)
HEADING = re.compile(r"^#{1,4} ", re.M)


def source(cell: Mapping[str, Any]) -> str:
    """The text of a cell; a file may hold it as lines."""
    text = cell.get("source", "")
    return text if isinstance(text, str) else "".join(map(str, text))


def tags(cell: Mapping[str, Any]) -> list[str]:
    """The tags of a cell."""
    return list(cell.get("metadata", {}).get("tags", []))


def is_solution(cell: Mapping[str, Any]) -> bool:
    """Whether a cell is part of a solution."""
    return "solution" in tags(cell)


def exercise_of(cells: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """For each cell, the id of the exercise that it belongs to.

    Args:
        cells: of a notebook, a student's perhaps.
    """
    here, found = None, []
    for cell in cells:
        if cell.get("cell_type") == "markdown":
            text = source(cell)
            opened = ID.findall(text)
            if opened:
                here = opened[-1]
            elif HEADING.search(text):
                here = None
        found.append(here)
    return found
