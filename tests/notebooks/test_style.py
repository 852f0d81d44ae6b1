"""Notebook sources keep the form of a lesson, or of a study beside one."""

import ast
import re
from pathlib import Path

import nbformat.v4 as v4
import pytest

from workbench.runner import build, page, series

ROOT = Path(__file__).parents[2]
SOURCES = series.sources(ROOT)
CELLS, CODE_LINES = range(35, 56), 200
STUDY_CELLS, STUDY_LINES = range(1, 26), 120
CELL_LINES, COLUMNS = 12, 79
LONGER = {"80_arena": 360}  # every method of a family in two worlds
# Captions, claims and settings are prose that happens to stand in a call.
PROSE = re.compile(r'\s*((caption|statement|title|setting|paper)=)?\(?f?".*"\)?,?$')


def code_lines(cell) -> list[str]:
    """Lines of a cell but imports, whose number says where things lie and no more."""
    lines = cell.source.splitlines()
    if not any("import" in line for line in lines):
        return [line for line in lines if line.strip()]
    imports = {
        number
        for node in ast.parse(cell.source.replace("%", "#")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for number in range(node.lineno, node.end_lineno + 1)
    }
    numbered = enumerate(lines, start=1)
    return [line for n, line in numbered if line.strip() and n not in imports]


def is_study(source: build.Source) -> bool:
    """A study, `NNx_name`, asks one question; a lesson, `NN_name`, teaches an hour."""
    return re.match(r"\d\d[a-z]_", source.name) is not None


@pytest.fixture(params=SOURCES, ids=lambda path: path.stem)
def source(request) -> build.Source:
    return build.read(request.param)


def test_a_lesson_and_a_study_have_the_size_of_one(source):
    """Cells 35 to 55 and 200 lines of code; of a study at most 25 and 120."""
    study = is_study(source)
    cells = source.notebook.cells
    # solutions are not part of the hour: a student's copy does not have them
    taught = [c for c in cells if "solution" not in c.metadata.get("tags", [])]
    lines = [x for c in taught if c.cell_type == "code" for x in code_lines(c)]
    total = sum(not PROSE.match(line) for line in lines)
    assert len(cells) in (STUDY_CELLS if study else CELLS), f"{len(cells)} cells"
    assert total <= (STUDY_LINES if study else CODE_LINES), f"{total} lines of code"


def test_a_cell_fits_a_slide(source):
    problems = []
    for n, cell in enumerate(source.notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        lines = code_lines(cell)
        if len(lines) > CELL_LINES:
            problems.append(f"cell {n} has {len(lines)} lines: {lines[0]}")
        problems += [f"cell {n}: {line}" for line in lines if len(line) > COLUMNS]
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


def test_a_lecture_takes_at_most_90_seconds(source):
    longest = LONGER.get(source.path.stem, 90)
    assert source.budget_s["lecture"] <= longest


def test_every_formula_is_drawn_in_the_site(source):
    """An unknown command would stand in the page as its name."""
    prose = [c for c in source.notebook.cells if c.cell_type == "markdown"]
    shown = page.notebook_html(v4.new_notebook(cells=prose), source.title)
    unknown = set(re.findall(r"<m[a-z]+[^>]*>\\[A-Za-z]+", shown))
    assert not unknown
