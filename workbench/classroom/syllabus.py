"""The table of TEACHING.md: minutes, exercises and points of each lesson."""

from collections.abc import Sequence
from pathlib import Path

from workbench.catalogue.markdown import cell, grid
from workbench.classroom import edition
from workbench.classroom.tasks import tasks
from workbench.core.durable import replace
from workbench.core.errors import BadFile
from workbench.runner import build

PAGE = "TEACHING.md"
BEGIN, END = "<!-- lessons:begin -->", "<!-- lessons:end -->"
HEADER = ("Lesson", "Path", "Needs", "Minutes", "Exercises", "Points", "At home")


def table(sources: Sequence[build.Source]) -> str:
    """Markdown of the table.

    Args:
        sources: the lessons, in order.
    """
    rows = [_row(source) for source in sources]
    sums = [sum(int(row[column]) for row in rows) for column in range(3, len(HEADER))]
    total = ["**All**", "", "", *map(str, sums)]
    return grid(HEADER, [*rows, total])


def _row(source: build.Source) -> list[str]:
    """One lesson; the last number is the minutes that its exercises take."""
    asked = tasks(source.notebook)
    return [
        f"[{cell(source.title)}](notebooks/{source.name}.ipynb)",
        source.kind,
        ", ".join(source.needs),
        str(source.minutes),
        str(len(asked)),
        str(sum(task.points for task in asked)),
        str(sum(task.minutes for task in asked)),
    ]


def renewed(root: Path) -> str:
    """TEACHING.md with the table of today's lessons.

    Args:
        root: the clone.

    Raises:
        BadFile: the page is missing, or has no place for the table.
    """
    path = root / PAGE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadFile(path, "missing file", "no such file") from None
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BadFile(path, "no place for the table", f"{BEGIN} … {END}")
    made = table(edition.chosen(root))
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def is_stale(root: Path) -> bool:
    """Whether the page's table is not that of today's lessons."""
    return (root / PAGE).read_text(encoding="utf-8") != renewed(root)


def write(root: Path) -> None:
    """Renew the table."""
    replace(root / PAGE, renewed(root))
