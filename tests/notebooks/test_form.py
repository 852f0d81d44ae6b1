"""A lesson teaches and a study reproduces: the form of both, as rules.

DESIGN: a lesson has one idea, predictions that are answered, numbers by hand that are
asserted, and exercises that are checked; a study asks one question. What they print,
draw and claim is read from the committed copies.
"""

import ast
import json
import re
from pathlib import Path

import pytest

from tests.notebooks.lesson_text import (
    claims,
    code,
    exercise_blocks,
    figure_titles,
    figures,
    headings,
    names_defined,
    names_used,
    printed,
    prose,
    raw_formulas,
    tags,
    taught,
)
from workbench.runner import build, series
from workbench.teach.exercise import exercises

ROOT = Path(__file__).parents[2]
SOURCES = [build.read(path) for path in series.sources(ROOT)]
LESSONS = [source for source in SOURCES if source.kind != "study"]
STUDIES = [source for source in SOURCES if source.kind == "study"]
GLOSSARY = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8")
CLAIMS = {"core": 3, "elective": 5, "study": 8}

every = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
lessons = pytest.mark.parametrize("source", LESSONS, ids=lambda source: source.name)
studies = pytest.mark.parametrize("source", STUDIES, ids=lambda source: source.name)


# ---- lessons -------------------------------------------------------------------------


@lessons
def test_a_lesson_says_whom_it_is_for(source):
    """Core or elective, the lessons it needs, which come before it, and the minutes."""
    number = source.name[:2]
    assert source.kind in ("core", "elective")
    known = {other.name[:2] for other in LESSONS}
    assert all(n in known and n < number for n in source.needs), source.needs
    assert number == "00" or source.needs
    assert 30 <= source.minutes <= 90
    first = source.notebook.cells[0].source
    for word in (
        "**The idea in one sentence.**",
        "After this lesson you can",
        "*Needs*",
    ):
        assert word in first, f"the first cell lacks {word!r}"
    assert f"{source.minutes} minutes" in first
    for number in source.needs:
        assert number in first.partition("*Needs*")[2], f"needs {number}"


@lessons
def test_a_lesson_is_at_most_45_cells_and_150_lines(source):
    cells = taught(source.notebook.cells)
    lines = sum(len(code(cell)) for cell in cells if cell.cell_type == "code")
    assert len(cells) <= 45, f"{len(cells)} cells"
    assert lines <= 150, f"{lines} lines of code"


@lessons
def test_a_lesson_imports_in_one_cell(source):
    cells = [
        cell
        for cell in taught(source.notebook.cells)
        if cell.cell_type == "code" and re.search(r"^(from|import) ", cell.source, re.M)
    ]
    assert len(cells) == 1, [cell.source.splitlines()[0] for cell in cells]
    assert "from workbench.lesson import *" in cells[0].source
    lines = cells[0].source.splitlines()
    assert len(lines) - len(code(cells[0])) <= 14


@lessons
def test_every_prediction_is_answered_under_its_id(source):
    """`predict` first, `reveal` later, once each, and the reader's answer is empty."""
    order = []
    for cell in source.notebook.cells:
        if cell.cell_type == "code":
            order += re.findall(
                r'teach\.(predict|reveal)\(\s*"(\d\d-\d+)"', cell.source
            )
    asked = [id for what, id in order if what == "predict"]
    told = [id for what, id in order if what == "reveal"]
    assert asked and sorted(asked) == sorted(set(asked)) == sorted(told)
    for id in asked:
        assert id.startswith(source.name[:2])
        assert order.index(("predict", id)) < order.index(("reveal", id))


@lessons
def test_by_hand_is_asserted(source):
    """A number by hand that is not compared with the library's may be wrong."""
    under, found = "", {}
    for cell in source.notebook.cells:
        if cell.cell_type == "markdown":
            titles = headings(cell)
            under = titles[-1] if titles else under
        elif "by hand" in under.lower() and "solution" not in tags(cell):
            asserts = bool(re.search(r"^assert |assert_close", cell.source, re.M))
            found[under] = found.get(under, False) or asserts
    assert found, "no section by hand"
    assert all(found.values()), [title for title, ok in found.items() if not ok]


@lessons
def test_exercises_are_five_to_eight_checked_and_solved(source):
    """Each has an id, stars, minutes, a check or an answer, a hint and a solution."""
    blocks = exercise_blocks(source.notebook.cells)
    number, known = source.name[:2], exercises(source.name[:2])
    assert 5 <= len(blocks) <= 8, list(blocks)
    assert list(blocks) == [f"{number}-{i + 1}" for i in range(len(blocks))]
    assert set(known) == set(blocks)
    for id, cells in blocks.items():
        assert re.search(r"\((●|○){3}, \d+ minutes\)", cells[0].source), id
        open_cells = [c.source for c in cells if "solution" not in tags(c)]
        solved = [c.source for c in cells if "solution" in tags(c)]
        check = f'teach.answer("{id}"' in "\n".join(open_cells)
        check = check or "teach.check." in "\n".join(open_cells)
        assert check, f"{id} has neither a check nor an answer"
        assert solved, f"{id} has no solution"
        if known[id].right is not None:
            assert f'teach.solution("{id}"' in "\n".join(solved), id
        assert known[id].hints, f"{id} has no hint"
    assert any("bug hunt" in cells[0].source.lower() for cells in blocks.values())


@lessons
def test_what_a_solution_defines_is_used_nowhere_else(source):
    """Without the solutions every other cell must still run."""
    private, shared, used = set(), set(), set()
    for cell in source.notebook.cells:
        if cell.cell_type != "code":
            continue
        if "solution" in tags(cell):
            private |= names_defined(cell)
        else:
            shared |= names_defined(cell)
            used |= names_used(cell)
    assert not (private - shared) & used, sorted((private - shared) & used)
    assert not private & shared, f"redefined: {sorted(private & shared)}"


@lessons
def test_a_lesson_ends_with_recap_references_and_the_next(source):
    titles = [title for cell in source.notebook.cells for title in headings(cell)]
    last = source.notebook.cells[-1].source
    assert "Recap" in titles and "References" in " ".join(titles)
    assert "Next" in last and "arxiv.org/abs/" in last
    assert "GLOSSARY.md" in "\n".join(c.source for c in source.notebook.cells)


# ---- studies -------------------------------------------------------------------------


@studies
def test_a_study_asks_one_question(source):
    first = source.notebook.cells[0].source
    for word in ("**Question.**", "**Setting.**"):
        assert word in first
    assert not exercise_blocks(source.notebook.cells)


# ---- both ----------------------------------------------------------------------------


@every
def test_few_claims(source):
    number = len(claims(ROOT, source.name))
    assert number <= CLAIMS[source.kind], f"{number} claims"


@every
def test_few_figures_with_titles_in_words(source):
    notebook = json.loads((ROOT / f"notebooks/{source.name}.ipynb").read_text("utf-8"))
    if source.kind != "study":
        assert len(figures(notebook)) <= 5, f"{len(figures(notebook))} figures"
    bad = [
        title
        for title in figure_titles(notebook)
        if re.match(r"[a-z]", title)
        or re.search(r"[a-z]_[a-z]", title.replace("π_", ""))
    ]
    assert not bad, bad


@every
def test_printed_numbers_are_rounded(source):
    notebook = json.loads((ROOT / f"notebooks/{source.name}.ipynb").read_text("utf-8"))
    long = re.findall(r"\d\.\d{7,}", printed(notebook))
    assert not long, long[:5]


@every
def test_formulas_are_typeset(source):
    found = [
        formula for cell in source.notebook.cells for formula in raw_formulas(cell)
    ]
    assert not found, found[:8]


@every
def test_readers_cells_hold_no_marks_for_tools(source):
    text = source.path.read_text("utf-8")
    assert "fmt: skip" not in text and "noqa" not in text


@every
def test_every_abbreviation_is_in_the_glossary(source):
    """Capital letters that nobody spells out are a riddle."""
    text = prose(source.notebook.cells)
    found = set(re.findall(r"\b[A-Z][A-Za-z]*[A-Z][A-Za-z]*\b", text))
    known = set(re.findall(r"\w+", GLOSSARY))
    assert not found - known, sorted(found - known)


@every
def test_a_distribution_is_not_called_a_law(source):
    found = re.findall(r"(\w+ )\blaws?\b", prose(source.notebook.cells))
    allowed = {"scaling ", "Goodhart ", "power ", "fitted ", "s "}
    assert not set(found) - allowed, set(found) - allowed


def test_names_of_solution_cells_are_found():
    """The rule above reads assignments, functions, loops and imports."""
    tree = ast.parse("a = 1\ndef b(): pass\nfor c in a: d, e = c\nimport f")
    assert names_defined(tree) == {"a", "b", "c", "d", "e", "f"}
