"""Lessons for nbgrader (0.9) and otter-grader (7): the teacher's version of each.

Both programs make the student's version themselves: they take out what stands between
the marks of a solution, and run tests that the student cannot change. Here an exercise
becomes a cell to write into, with the solution between marks, and a test of it, which
calls ``teach.answer`` or ``teach.check`` on a *name*: ``answer_20_2``, or the name of
the function that the exercise asks for. One that a teacher has to read
(``read = true`` in its file) is marked by hand in both.
"""

import ast
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat.v4 as v4

from workbench.classroom import edition
from workbench.classroom.tasks import Task, tasks
from workbench.runner import build
from workbench.teach.blocks import exercise_of, is_solution
from workbench.teach.exercise import exercises

NBGRADER = ("### BEGIN SOLUTION", "### END SOLUTION")
OTTER = ("# BEGIN SOLUTION", "# END SOLUTION")
ASSIGNMENT = """\
# ASSIGNMENT CONFIG
name: {name}
check_all_cell: true
export_cell:
    pdf: false
"""


@dataclass(frozen=True)
class Asked:
    """An exercise as both programs need it.

    Attributes:
        task: the exercise.
        text: its Markdown cells.
        given: code that stands in the cell to write into.
        solved: the solution's code, which sets the name that is tested.
        test: a line that raises if the exercise is not solved; empty if a teacher
            reads it.
    """

    task: Task
    text: tuple[Any, ...]
    given: str
    solved: str
    test: str

    def cell(self, marks: tuple[str, str]) -> str:
        """The cell to write into, with the solution between marks."""
        parts = [self.given, marks[0], self.solved, marks[1]]
        return "\n".join(part for part in parts if part)


def nbgrader_files(root: Path, sources: Sequence[build.Source]) -> dict[str, bytes]:
    """``source/NAME/NAME.ipynb`` for each lesson, for ``nbgrader generate_assignment``.

    Args:
        root: the clone.
        sources: the lessons.
    """
    return _files(root, sources, "source/", _nbgrader)


def otter_files(root: Path, sources: Sequence[build.Source]) -> dict[str, bytes]:
    """``NAME/NAME.ipynb`` for each lesson, for ``otter assign``.

    Args:
        root: the clone.
        sources: the lessons.
    """
    return _files(root, sources, "", _otter)


def _files(
    root: Path, sources: Sequence[build.Source], folder: str, make: Callable
) -> dict[str, bytes]:
    there = {source.name for source in sources}
    glossary = edition.glossary_text(root, ())
    files = {}
    for source in sources:
        notebook = edition.bare(source)
        edition.relink(notebook, there, "../{name}/{name}.ipynb")
        notebook.cells = make(source.name, notebook)
        place = f"{folder}{source.name}/"
        files[f"{place}{source.name}.ipynb"] = edition.data_of(notebook)
        if glossary is not None:
            files[f"{place}{edition.GLOSSARY}"] = glossary.encode()
    return files


# ---- the two forms ----------------------------------------------------------------


def _nbgrader(name: str, notebook: Any) -> list[Any]:
    cells = []
    for part in _parts(notebook):
        if not isinstance(part, Asked):
            cells.append(part)
            continue
        task, by_hand = part.task, not part.test
        cells += part.text
        code = _fresh(v4.new_code_cell(part.cell(NBGRADER)), f"answer-{task.id}")
        code.metadata["nbgrader"] = _told(code.id, solution=True, grade=by_hand)
        cells.append(code)
        if by_hand:
            code.metadata["nbgrader"]["points"] = task.points
            continue
        test = _fresh(v4.new_code_cell(part.test), f"check-{task.id}")
        told = _told(test.id, locked=True, grade=True)
        test.metadata["nbgrader"] = told | {"points": task.points}
        cells.append(test)
    return cells


def _told(
    grade_id: str, grade: bool = False, locked: bool = False, solution: bool = False
) -> dict[str, Any]:
    """What nbgrader's cell metadata say, in their third version."""
    return {
        "schema_version": 3,
        "grade_id": grade_id,
        "grade": grade,
        "locked": locked,
        "solution": solution,
        "task": False,
    }


def _otter(name: str, notebook: Any) -> list[Any]:
    cells = [_raw(ASSIGNMENT.format(name=name), "assignment")]
    for part in _parts(notebook):
        if not isinstance(part, Asked):
            cells.append(part)
            continue
        id = part.task.id
        question = f"name: {_name('q', id)}\npoints: {part.task.points}"
        question += "" if part.test else "\nmanual: true"
        cells.append(_raw(f"# BEGIN QUESTION\n{question}", f"begin-{id}"))
        cells += part.text
        cells.append(_raw("# BEGIN SOLUTION", f"begin-solution-{id}"))
        cells.append(_fresh(v4.new_code_cell(part.cell(OTTER)), f"answer-{id}"))
        cells.append(_raw("# END SOLUTION", f"end-solution-{id}"))
        if part.test:
            cells.append(_raw("# BEGIN TESTS", f"begin-tests-{id}"))
            cells.append(_fresh(v4.new_code_cell(part.test), f"check-{id}"))
            cells.append(_raw("# END TESTS", f"end-tests-{id}"))
        cells.append(_raw("# END QUESTION", f"end-{id}"))
    return cells


def _raw(text: str, id: str) -> Any:
    return _fresh(v4.new_raw_cell(text), id)


def _fresh(cell: Any, id: str) -> Any:
    """A cell whose id is the same in every export."""
    cell.id = id
    return cell


# ---- what both are made of --------------------------------------------------------


def _parts(notebook: Any) -> list[Any]:
    """The cells of a lesson in order; those of each exercise as one `Asked`."""
    known = {task.id: task for task in tasks(notebook)}
    parts, here, block = [], None, []
    for cell, id in zip(notebook.cells, exercise_of(notebook.cells), strict=True):
        if id != here and block:
            parts.append(_asked(known[here], block))
            block = []
        here = id
        if id in known:
            block.append(cell)
        else:
            parts.append(cell)
    return parts + ([_asked(known[here], block)] if block else [])


def _asked(task: Task, cells: Sequence[Any]) -> Asked:
    """An exercise from its cells: text, one open cell, one or more of a solution."""
    code = [cell for cell in cells if cell.cell_type == "code"]
    text = [cell for cell in cells if cell.cell_type == "markdown"]
    exercise = exercises(task.id.partition("-")[0]).get(task.id)
    read = exercise is not None and exercise.read
    by_code = exercise is None or exercise.right is None
    target = _name("answer", task.id)
    given, asked = _split(code, False, target)
    solved, done = _split(code, True, target)
    if by_code and not read:
        target = asked
        solved += f"\n{target} = {done}"
    call = f"teach.check.{task.check}({target})"
    if not by_code:
        call = f'teach.answer("{task.id}", {target})'
        text[0].source += f"\n\nPut your answer into `{target}`."
    said = [cell.source for cell in text if is_solution(cell)]
    return Asked(
        task=task,
        text=tuple(cell for cell in text if not is_solution(cell)),
        given=given,
        solved="\n".join([*map(_comment, said), solved.strip("\n")]),
        test="" if read else f"assert {call}, {call}",
    )


def _split(code: Sequence[Any], solution: bool, target: str) -> tuple[str, str]:
    """Code without its calls of `teach`, and the name that a check was given.

    Args:
        code: the code cells of an exercise.
        solution: those of the solution, or the open ones.
        target: the name that takes the place of an answer.
    """
    parts, checked = [], ""
    for cell in code:
        if is_solution(cell) != solution:
            continue
        lines = cell.source.splitlines()
        for node in reversed(ast.parse(cell.source).body):
            call = _call(node)
            if call is None:
                continue
            place = slice(node.lineno - 1, node.end_lineno)
            value = ast.get_source_segment(cell.source, call.args[-1])
            if call.func.attr in ("answer", "solution"):
                value = f"({value})" if "\n" in value else value
                lines[place] = f"{target} = {value}".splitlines()
            else:
                checked, lines[place] = value, []
        parts.append("\n".join(lines).strip("\n"))
    return "\n".join(parts), checked


def _call(node: ast.stmt) -> ast.Call | None:
    """The call of a statement ``teach.…(…)`` or ``assert teach.….passed``."""
    value = node.value if isinstance(node, ast.Expr) else None
    if isinstance(node, ast.Assert) and isinstance(node.test, ast.Attribute):
        value = node.test.value
    if not isinstance(value, ast.Call):
        return None
    called = ast.unparse(value.func)
    asks = called in ("teach.answer", "teach.solution")
    return value if asks or called.startswith("teach.check.") else None


def _name(word: str, id: str) -> str:
    """`answer_20_2`, `q_20_2`: a name that Python and both programs take."""
    return f"{word}_{id.replace('-', '_')}"


def _comment(text: str) -> str:
    return textwrap.indent(text, "# ", lambda line: True)
