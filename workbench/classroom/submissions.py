"""Which notebooks were handed in, by whom, and for which lesson."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.core.errors import BadFile, printable
from workbench.runner import build
from workbench.runner.stamp import ADDED
from workbench.teach.blocks import ID, exercise_of, is_solution, tags

LARGEST = 64 * 2**20  # bytes of a notebook that is still read
NUMBER = re.compile(r"(?<!\d)(\d\d[a-z]?)_[a-z]")


@dataclass(frozen=True)
class Submission:
    """A file that was handed in.

    Attributes:
        path: the file.
        student: whose it is, from the file's or its folder's name.
        lesson: name of the lesson, such as `20_dpo`; empty if that cannot be told.
        cells: {"cell": number, "source": text} of the code cells to run.
        exercise_of: cell number -> the exercise it belongs to.
        fault: why it cannot be run; empty if it can.
    """

    path: Path
    student: str
    lesson: str
    cells: tuple[dict[str, Any], ...] = ()
    exercise_of: Mapping[int, str] = field(default_factory=dict)
    fault: str = ""


def find(places: Iterable[Path]) -> list[Path]:
    """The notebooks in some files and folders, each once.

    Raises:
        BadFile: a place that is not there, is no notebook, or holds none.
    """
    found: dict[Path, None] = {}
    for place in places:
        if place.is_dir():
            inside = sorted(place.rglob("*.ipynb"))
            inside = [p for p in inside if ".ipynb_checkpoints" not in p.parts]
            if not inside:
                raise BadFile(place, "no notebook in this folder")
            found |= dict.fromkeys(inside)
        elif not place.exists():
            raise BadFile(place, "missing file", "no such file")
        elif place.suffix != ".ipynb":
            raise BadFile(place, "no notebook", "its name does not end in .ipynb")
        else:
            found[place] = None
    return list(found)


def read(path: Path, lessons: Sequence[str], profile: str) -> Submission:
    """Read a file; whatever is wrong with it becomes its `fault`.

    Args:
        path: the file.
        lessons: names of the lessons that it may be of, in order.
        profile: which PROFILE its cells get.
    """
    guess = _of_number(path.stem, lessons)
    try:
        if path.stat().st_size > LARGEST:
            raise build.BrokenNotebook(f"is larger than {LARGEST >> 20} MiB")
        notebook = build.load(path)
    except (OSError, build.BrokenNotebook) as error:
        words = printable(error, 200)
        return Submission(path, student_of(path, guess), guess, fault=f"it {words}")
    lesson = _lesson(notebook, lessons) or guess
    fault = "" if lesson else "it is of no lesson that is graded"
    places = exercise_of(notebook.cells)
    return Submission(
        path=path,
        student=student_of(path, lesson),
        lesson=lesson,
        cells=tuple(_code(notebook.cells, profile)),
        exercise_of={n: id for n, id in enumerate(places) if id},
        fault=fault,
    )


def student_of(path: Path, lesson: str) -> str:
    """Whose file it is: the folder if the file has the lesson's name, else its name.

    ``ada/20_dpo.ipynb`` and ``20_dpo_ada.ipynb`` are Ada's.
    """
    rest = path.stem
    if lesson and lesson in rest:
        rest = rest.replace(lesson, "", 1).strip(" _-.()")
        if not rest or rest.isdigit():  # a browser's "20_dpo (1)"
            rest = path.resolve().parent.name
    return printable(rest, 80)


def _lesson(notebook: Any, lessons: Sequence[str]) -> str:
    """From the notebook's own words: its metadata, or the ids of its exercises."""
    told = notebook.metadata.get("workbench")
    name = told.get("lesson") if isinstance(told, dict) else None
    if name in lessons:
        return name
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    numbers = [id.partition("-")[0] for id in ID.findall(text)]
    most = max(set(numbers), key=numbers.count, default="")
    return next((name for name in lessons if most and name.startswith(most + "_")), "")


def _of_number(stem: str, lessons: Sequence[str]) -> str:
    """From the file's name."""
    inside = [name for name in lessons if name in stem]
    if inside:
        return inside[0]
    numbers = NUMBER.findall(stem)
    return next((n for n in lessons if numbers and n.startswith(numbers[0] + "_")), "")


def _code(cells: Sequence[Any], profile: str) -> Iterable[dict[str, Any]]:
    """The code to run: no solutions of ours, no installation, PROFILE as asked."""
    for number, cell in enumerate(cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if is_solution(cell) or ADDED & set(tags(cell)):
            continue
        source = cell.source
        if "parameters" in tags(cell):
            source += f'\nPROFILE = "{profile}"\n'
        yield {"cell": number, "source": source}
