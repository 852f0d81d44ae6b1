"""Notebook sources keep the form of a lesson, or of a study beside one."""

import re
from pathlib import Path

import pytest

from tests.notebooks.lesson_text import code
from workbench.runner import build, safe, series

ROOT = Path(__file__).parents[2]
SOURCES = series.sources(ROOT)
STUDY_CELLS, STUDY_LINES = 25, 120
CELL_LINES, COLUMNS = 12, 79
LECTURE = {"study": 90}  # seconds at most; of a lesson 60
LONGER = {
    "80a_whole_field": 360,  # every direct method, in two worlds
    "90_real_preferences": 400,  # a language model of 135 million weights is trained
    "91_auditing_a_checkpoint": 400,  # and two of its adapters are audited
}


@pytest.fixture(params=SOURCES, ids=lambda path: path.stem)
def source(request) -> build.Source:
    return build.read(request.param)


def test_a_study_is_short(source):
    if source.kind != "study":
        return  # the limits of a lesson stand in test_form
    cells = source.notebook.cells
    lines = sum(len(code(cell)) for cell in cells if cell.cell_type == "code")
    assert len(cells) <= STUDY_CELLS, f"{len(cells)} cells"
    assert lines <= STUDY_LINES, f"{lines} lines of code"


def test_a_cell_fits_a_slide(source):
    problems = []
    for n, cell in enumerate(source.notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        lines, text = code(cell), cell.source.splitlines()
        if len(lines) > CELL_LINES:
            problems.append(f"cell {n} has {len(lines)} lines: {lines[0]}")
        problems += [f"cell {n}: {line}" for line in text if len(line) > COLUMNS]
    assert not problems, "\n".join(problems)


def test_no_cell_is_empty(source):
    assert all(cell.source.strip() for cell in source.notebook.cells)


def test_the_first_cell_is_the_title_and_parameters_follow(source):
    cells = source.notebook.cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    first_code = next(c for c in cells if c.cell_type == "code")
    assert "parameters" in first_code.metadata.get("tags", [])
    assert source.parameters["PROFILE"] == "lecture"


def test_a_lesson_takes_at_most_a_minute(source):
    longest = LONGER.get(source.name, LECTURE.get(source.kind, 60))
    assert source.budget_s["lecture"] <= longest


def test_no_letter_of_a_formula_became_a_control_character(source):
    """A Python string that is not raw turns the first letters of \\beta, \\frac, \\rho
    and \\text into a backspace, a form feed, a return and a tab.
    """
    text = source.path.read_text(encoding="utf-8")
    exercises = ROOT / f"workbench/teach/exercises/{source.name[:2]}.toml"
    text += exercises.read_text(encoding="utf-8") if exercises.exists() else ""
    strange = [c for c in set(text) if ord(c) < 32 and c != "\n"]
    assert strange == []


def test_every_formula_is_drawn_in_the_site(source):
    """An unknown command would stand in the page as its name."""
    prose = [c.source for c in source.notebook.cells if c.cell_type == "markdown"]
    shown = "\n".join(map(safe.markdown_html, prose))
    unknown = set(re.findall(r"<m[a-z]+[^>]*>\\[A-Za-z]+", shown))
    assert not unknown
