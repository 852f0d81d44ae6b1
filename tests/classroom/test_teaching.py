"""TEACHING.md names what is there: lessons, headings, exercises, minutes, commands."""

import re
from pathlib import Path

import pytest

from workbench.classroom import edition, syllabus
from workbench.classroom.__main__ import main
from workbench.classroom.tasks import tasks
from workbench.core.errors import BadFile

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
SOURCES = {source.name[:2]: source for source in edition.chosen(ROOT)}
SESSIONS = re.findall(r"(?ms)^### (\d+ · .+?)\n(.*?)(?=^##)", TEXT)

each = pytest.mark.parametrize("session", SESSIONS, ids=lambda s: s[0])


def headings(number: str) -> set[str]:
    """The headings of a lesson, as they stand in its cells."""
    cells = [c for c in SOURCES[number].notebook.cells if c.cell_type == "markdown"]
    text = "\n".join(cell.source for cell in cells)
    return set(re.findall(r"^## (.+)$", text, re.M))


def lessons(title: str) -> list[str]:
    return re.findall(r"\b\d\d\b", title.partition("(")[2])


def test_there_are_twelve_sessions_over_the_core_path():
    assert [title.split(" ")[0] for title, _ in SESSIONS] == [*map(str, range(1, 13))]
    taught = [number for title, _ in SESSIONS for number in lessons(title)]
    assert taught == [n for n, source in SOURCES.items() if source.kind == "core"]


@each
def test_a_session_has_its_parts_and_ninety_minutes(session):
    _, body = session
    for part in ("Goal", "Project.", "Minutes.", "What goes wrong.", "At home."):
        assert f"**{part}" in body
    line = re.search(r"^\*\*Minutes\.\*\* (.+)$", body, re.M)[1]
    assert sum(int(part.split()[0]) for part in line.split(" · ")) == 90


@each
def test_what_is_projected_is_in_the_lesson(session):
    title, body = session
    known = set().union(*map(headings, lessons(title)))
    lines = re.findall(r"^\*\*Project\.\*\* (.+)$", body, re.M)
    named = [name.strip("*") for line in lines for name in line.split(" · ")]
    assert len(named) >= 4
    assert not [name for name in named if name not in known]


@each
def test_homework_is_of_the_session_s_lesson(session):
    title, body = session
    known = {t.id for n in lessons(title) for t in tasks(SOURCES[n].notebook)}
    set_ = re.findall(r"\d\d-\d+", body.partition("**At home.**")[2])
    assert len(set_) >= 3 and set(set_) <= known


def test_in_two_weeks_no_lesson_comes_before_one_that_it_needs():
    rows = re.findall(r"^\| (\d+) \| (\d\d) \| (\d\d) \|$", TEXT, re.M)
    assert [int(day) for day, *_ in rows] == [*range(1, 11)]
    order = [number for _, *pair in rows for number in pair]
    assert len(set(order)) == len(order)
    for at, number in enumerate(order):
        assert set(SOURCES[number].needs) <= set(order[:at]), number


def test_the_short_block_needs_nothing_that_it_leaves_out():
    rows = re.findall(r"^\| (\d+) \| (\d\d) \| (\d\d) \|$", TEXT, re.M)
    kept = {n for day, *pair in rows for n in pair if day not in ("8", "9")}
    assert all(set(SOURCES[number].needs) <= kept for number in kept)


def test_the_table_is_that_of_the_lessons():
    assert not syllabus.is_stale(ROOT), "run python -m workbench.classroom --write"
    assert main(["--check"]) == 0
    row = next(line for line in TEXT.splitlines() if "20_dpo.ipynb" in line)
    assert row.endswith("| core | 01, 10 | 90 | 5 | 9 | 55 |")


def test_an_old_table_is_found_and_renewed(tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    page = tmp_path / "TEACHING.md"
    page.write_text(TEXT.replace("| core | 01, 10 | 90 |", "| core | 01 | 9 |"))
    monkeypatch.chdir(tmp_path)
    assert main(["--check"]) == 1
    assert "TEACHING.md is stale" in capsys.readouterr().err
    assert main(["--write", "--check"]) == 0
    assert page.read_text() == TEXT


@pytest.mark.parametrize("text", [None, "no marks", syllabus.BEGIN])
def test_a_page_without_a_place_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "TEACHING.md").write_text(text)
    with pytest.raises(BadFile):
        syllabus.renewed(tmp_path)


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_every_command_is_one():
    from workbench.cli import app

    known = {c.callback.__name__ for c in app.registered_commands}
    named = set(re.findall(r"workbench (student|grade|slides|\w+) ", TEXT))
    assert {"student", "grade", "slides"} <= named & known
