"""Whose file it is and of which lesson, and what of it is run."""

from pathlib import Path

import nbformat.v4 as v4
import pytest

from workbench.classroom import submissions
from workbench.classroom.edition import data_of
from workbench.core.errors import BadFile

LESSONS = ["20_dpo", "21_links"]


def saved(path: Path, *cells, **told) -> Path:
    notebook = v4.new_notebook(cells=list(cells))
    notebook.metadata["workbench"] = told
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data_of(notebook))
    return path


def tagged(source, *tags):
    return v4.new_code_cell(source, metadata={"tags": list(tags)})


@pytest.mark.parametrize(
    ("place", "student"),
    [("ada/20_dpo.ipynb", "ada"), ("20_dpo_ada.ipynb", "ada"),
     ("ada-20_dpo.ipynb", "ada"), ("bob/20_dpo (1).ipynb", "bob"),
     ("homework.ipynb", "homework")],
)  # fmt: skip
def test_the_student_is_in_the_name_or_the_folder(place, student):
    assert submissions.student_of(Path(place), "20_dpo") == student


def test_a_name_cannot_paint_the_terminal():
    assert "\x1b" not in submissions.student_of(Path("a\x1b[2J.ipynb"), "20_dpo")


def test_the_lesson_is_in_the_notebook_before_its_name(tmp_path):
    heading = v4.new_markdown_cell("**21-1 · Read** (●○○, 5 minutes). Go.")
    files = {
        "told": saved(tmp_path / "20_dpo.ipynb", lesson="21_links"),
        "asked": saved(tmp_path / "b.ipynb", heading, lesson="nonsense"),
        "named": saved(tmp_path / "21_links_ada.ipynb"),
        "number": saved(tmp_path / "21_x.ipynb"),
        "none": saved(tmp_path / "essay.ipynb"),
    }
    found = {k: submissions.read(p, LESSONS, "ci").lesson for k, p in files.items()}
    assert found == dict.fromkeys(found, "21_links") | {"none": ""}


def test_solutions_are_not_run_and_the_profile_is_the_grader_s(tmp_path):
    path = saved(
        tmp_path / "20_dpo.ipynb",
        tagged('PROFILE = "figure"', "parameters"),
        tagged("install()", "install"),
        tagged("teach.check.dpo(mended)", "solution"),
        v4.new_markdown_cell("**20-1 · Read** (●○○, 5 minutes). Go."),
        v4.new_code_cell("answer()"),
        v4.new_code_cell(" \n"),
        lesson="20_dpo",
    )
    one = submissions.read(path, LESSONS, "ci")
    assert [cell["cell"] for cell in one.cells] == [0, 4]
    assert one.cells[0]["source"].splitlines()[-1] == 'PROFILE = "ci"'
    assert one.exercise_of[4] == "20-1"


@pytest.mark.parametrize("data", ["", "{", "<<<<<<< ours\n", "[1]"])
def test_a_broken_file_is_a_fault_and_no_error(tmp_path, data):
    path = tmp_path / "20_dpo_ada.ipynb"
    path.write_text(data)
    one = submissions.read(path, LESSONS, "ci")
    assert (one.student, one.lesson) == ("ada", "20_dpo")
    assert one.fault and not one.cells


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "LARGEST", 10)
    path = saved(tmp_path / "20_dpo.ipynb")
    assert "is larger than" in submissions.read(path, LESSONS, "ci").fault


def test_folders_are_searched_and_each_file_is_taken_once(tmp_path):
    first = saved(tmp_path / "a" / "20_dpo.ipynb")
    saved(tmp_path / "a" / ".ipynb_checkpoints" / "20_dpo.ipynb")
    assert submissions.find([tmp_path, first]) == [first]


def test_places_without_a_notebook_are_refused(tmp_path):
    (tmp_path / "a.txt").touch()
    for place, words in (
        (tmp_path, "no notebook in this folder"),
        (tmp_path / "none.ipynb", "missing file"),
        (tmp_path / "a.txt", "does not end in .ipynb"),
    ):
        with pytest.raises(BadFile, match=words):
            submissions.find([place])
