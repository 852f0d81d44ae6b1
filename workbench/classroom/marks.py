"""From what a submission did to points: a row per exercise, a CSV and a summary.

Answers are compared here, in the grader's process, from the values that were passed.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from workbench.classroom.submissions import Submission
from workbench.classroom.tasks import Task
from workbench.classroom.warden import Outcome
from workbench.core.errors import BadOption, printable
from workbench.teach.exercise import exercises, mark

READ = "not marked: a teacher reads this one"
# A spreadsheet takes a cell that begins so for a formula, and the text is a student's.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Row:
    """One submission's result in one exercise.

    Attributes:
        student: whose it is.
        lesson: such as `20_dpo`, empty if that cannot be told.
        exercise: such as "20-3", empty if the whole file is of no lesson.
        points: that it got; None where a teacher has to read it.
        of: points that it could get.
        passed: the verdict; None where a teacher has to read it.
        message: the reason.
    """

    student: str
    lesson: str
    exercise: str
    points: int | None
    of: int
    passed: bool | None
    message: str


COLUMNS = tuple(field.name for field in fields(Row))


def rows(submission: Submission, outcome: Outcome, tasks: Sequence[Task]) -> list[Row]:
    """The marks of a submission.

    Args:
        submission: the file.
        outcome: what it did.
        tasks: the exercises of its lesson.

    Returns:
        One row per exercise; one alone if the lesson is not known.
    """
    if not submission.lesson:
        words = f"{submission.path.name}: {submission.fault}"
        return [Row(submission.student, "", "", 0, 0, False, words)]
    return [_row(submission, outcome, task) for task in tasks]


def _row(submission: Submission, outcome: Outcome, task: Task) -> Row:
    verdict, words = _verdict(submission, outcome, task)
    points = None if verdict is None else task.points * verdict
    who = (submission.student, submission.lesson, task.id)
    return Row(*who, points, task.points, verdict, printable(words, 500))


def _verdict(
    submission: Submission, outcome: Outcome, task: Task
) -> tuple[bool | None, str]:
    if submission.fault:
        return False, submission.fault
    exercise = exercises(task.id.partition("-")[0]).get(task.id)
    if exercise is not None and exercise.read:
        return None, READ
    asks_code = exercise is None or exercise.right is None
    events = _checks(submission, outcome, task) if asks_code else []
    if not asks_code:
        named = (e for e in outcome.events if e["event"] == "answer")
        events = [e for e in named if e.get("name") == task.id]
    if not events:
        return False, _silence(submission, outcome, task)
    last = events[-1]
    if asks_code:
        passed, words = last.get("passed") is True, str(last.get("message", ""))
    else:
        passed, words = _compared(task.id, last.get("value"))
    tries = sum(event.get("value", 0) is not None for event in events)
    return passed, words + (f" ({tries} tries)" if tries > 1 else "")


def _compared(id: str, value: Any) -> tuple[bool, str]:
    """The verdict on an answer's value, here and now."""
    if isinstance(value, dict):
        return False, f"a {value.get('odd', 'value')} is no answer"
    try:
        marked = mark(id, value)
    except (TypeError, ValueError, OverflowError) as error:
        return False, f"this is no answer: {error}"
    return marked.passed, marked.message


def _checks(submission: Submission, outcome: Outcome, task: Task) -> list[dict]:
    """Checks of the right method in the cells under the exercise's heading."""
    fits = [
        event
        for event in outcome.events
        if event["event"] == "check" and event.get("name") == task.check
    ]
    places = submission.exercise_of
    if task.id in places.values():
        return [event for event in fits if places.get(event["cell"]) == task.id]
    return [event for event in fits if event["cell"] not in places]


def _silence(submission: Submission, outcome: Outcome, task: Task) -> str:
    """Why nothing was heard of an exercise."""
    call = "teach.check" if task.check else "teach.answer"
    mine = [c for c, id in submission.exercise_of.items() if id == task.id]
    for event in outcome.events:
        if event["event"] == "changed" and event["cell"] in mine:
            return f"the notebook replaced {', '.join(map(str, event['names']))[:200]}"
    for event in outcome.events:
        if event["event"] == "error" and event["cell"] in mine:
            return f"its cell raised {event.get('message', '')}"
    if outcome.ended:
        cell = "" if outcome.at is None else f" in cell {outcome.at}"
        return f"not reached: {outcome.ended}{cell}"
    return f"no call of {call} was heard"


def write_csv(path: Path, found: Iterable[Row]) -> None:
    """Write the rows, whole or not at all.

    Args:
        path: replaced if it is an earlier one; see `refuse_other`.
        found: all rows.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in found:
        table.writerow({k: _cell(v) for k, v in asdict(row).items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text.getvalue(), encoding="utf-8")
    partial.replace(path)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str):
        return value
    line = " ".join(value.split())
    return f"'{line}" if line.startswith(FORMULA) else line


def refuse_other(path: Path) -> None:
    """Raise BadOption if a file is there that is no earlier table of marks."""
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8") as file:
            first = file.readline().strip()
    except (OSError, UnicodeDecodeError):
        first = ""
    if first != ",".join(COLUMNS):
        raise BadOption(f"{path} is there and is no table of marks: name another file")


def summary(found: Sequence[Row]) -> list[str]:
    """Lines for a terminal: student, lesson, points, and what is worth a look."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in found:
        groups.setdefault((row.student, row.lesson), []).append(row)
    lines = [("student", "lesson", "points", "")]
    for (student, lesson), mine in groups.items():
        got = sum(row.points or 0 for row in mine)
        most = sum(row.of for row in mine if row.points is not None)
        lines.append((student, lesson or "?", f"{got}/{most}", _remark(mine)))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return [
        "  ".join([*map(str.ljust, line, widths), line[3]]).rstrip() for line in lines
    ]


def _remark(mine: Sequence[Row]) -> str:
    """The failure that most exercises share, and how many a teacher has to read."""
    words = [row.message for row in mine if row.passed is False]
    common = max(set(words), key=words.count, default="")
    told = common if words.count(common) > 1 or len(mine) == 1 else ""
    unread = sum(row.passed is None for row in mine)
    return "; ".join(filter(None, (told, f"{unread} to read" if unread else "")))


def lessons_tasks(notebooks: Mapping[str, Any]) -> dict[str, list[Task]]:
    """The exercises of each lesson by its name; studies have none and are left out."""
    from workbench.classroom.tasks import tasks

    found = {name: tasks(notebook) for name, notebook in notebooks.items()}
    return {name: some for name, some in found.items() if some}
