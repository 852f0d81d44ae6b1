"""`student`, `grade` and `slides`: what they take, refuse and write."""

import csv
import json

import pytest

from tests.classroom.handed_in import GOOD, course, submission
from tests.cli.test_commands import no_clone, refused, run, wide  # noqa: F401
from workbench.classroom import slides, warden


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A course of one lesson, to be in."""
    root = course(tmp_path / "clone")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def ran(monkeypatch):
    """Submissions are not run: what they do is said here."""
    calls = []
    answered = {"event": "answer", "cell": 4, "name": "20-2", "value": 0.3466}

    def run(cells, limits):
        calls.append((cells, limits))
        return warden.Outcome((answered,))

    monkeypatch.setattr(warden, "run", run)
    return calls


@pytest.mark.parametrize("name", ["student", "slides", "grade"])
def test_outside_a_clone_there_is_no_course(name, no_clone):  # noqa: F811
    words = {"student": ["x"], "slides": ["20"], "grade": ["x", "--csv", "y"]}[name]
    assert "run this inside a clone" in refused(name, *words)


# ---- student ----------------------------------------------------------------------


def test_an_edition_is_written(clone, tmp_path):
    done = run("student", tmp_path / "out", "--lessons", "20")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.strip().endswith("out: 1 lessons, plain")
    text = (tmp_path / "out" / "20_dpo.ipynb").read_text("utf-8")
    assert "teach.answer" in text and "teach.solution" not in text


def test_lessons_may_follow_the_folder_or_each_other(clone, tmp_path, monkeypatch):
    from workbench.classroom import edition

    asked = []
    monkeypatch.setattr(
        edition, "chosen", lambda root, names: asked.append(names) or []
    )
    run("student", tmp_path / "a", "--lessons", "00", "20", "21")
    run("student", tmp_path / "b", "00", "20", "21")
    run("student", tmp_path / "c", "--lessons", "00", "--lessons", "20,21")
    assert [sorted(names) for names in asked] == [
        ["00", "20", "21"], ["00", "20", "21"], ["00", "20,21"]]  # fmt: skip


def test_an_unknown_lesson_is_refused_before_anything_is_written(clone, tmp_path):
    words = refused("student", tmp_path / "out", "--lessons", "dpp")
    assert words == "no notebook 'dpp'; did you mean dpo?"
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else_is_refused(clone, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    assert "holds other files" in refused("student", tmp_path / "out")
    assert run("student", tmp_path / "out", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("form", "file"),
    [("nbgrader", "source/20_dpo/20_dpo.ipynb"), ("otter", "20_dpo/20_dpo.ipynb")],
)
def test_other_formats_are_the_teacher_s(clone, tmp_path, form, file):
    done = run("student", tmp_path / "out", "--format", form)
    assert done.exit_code == 0, done.output
    assert "SOLUTION" in (tmp_path / "out" / file).read_text("utf-8")


def test_an_unknown_format_is_refused(clone, tmp_path):
    assert "--format" in refused("student", "x", "--format", "word", status=2)


# ---- grade ------------------------------------------------------------------------


def test_points_are_written_and_told(clone, tmp_path, ran):
    (tmp_path / "20_dpo_ada.ipynb").write_bytes(submission(clone, GOOD))
    table = tmp_path / "marks.csv"
    options = "--seconds 7 --memory 1.5G --profile lecture --lesson 20".split()
    done = run("grade", tmp_path / "20_dpo_ada.ipynb", "--csv", table, *options)
    assert done.exit_code == 0, done.output
    [(cells, limits)] = ran
    assert limits == warden.Limits(7.0, 3 * 2**29)
    assert any('PROFILE = "lecture"\n' in cell["source"] for cell in cells)
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["student"], r["points"]) for r in rows] == [
        ("ada", "1"), ("ada", "0"), ("ada", "0")]  # fmt: skip
    assert done.stdout.splitlines()[-1].endswith("marks.csv: 3 rows of 1 notebooks")
    told = run("grade", tmp_path / "20_dpo_ada.ipynb", "--csv", table, "--json")
    assert [(r["student"], r["points"]) for r in json.loads(told.stdout)] == [
        ("ada", 1), ("ada", 0), ("ada", 0)]  # fmt: skip


def test_an_interrupt_keeps_the_rows_that_are_done(clone, tmp_path, monkeypatch, ran):
    for name in ("ada", "bob"):
        (tmp_path / f"20_dpo_{name}.ipynb").write_bytes(submission(clone, GOOD))
    answers = iter([warden.Outcome()])

    def stop(cells, limits):
        for outcome in answers:
            return outcome
        raise KeyboardInterrupt

    monkeypatch.setattr(warden, "run", stop)
    files = sorted(tmp_path.glob("*.ipynb"))
    assert run("grade", *files, "--csv", tmp_path / "m.csv").exit_code != 0
    text = (tmp_path / "m.csv").read_text("utf-8")
    assert text.count("\nada,") == 3 and "bob" not in text


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.ipynb"], 1, "none.ipynb: missing file"),
        (["."], 1, "no notebook in this folder"),
        ([".", "--lesson", "dpp"], 1, "did you mean dpo?"),
        ([".", "--memory", "much"], 2, "--memory is a size"),
        ([".", "--memory", "3K"], 2, "--memory is a size"),
        ([".", "--seconds", "0"], 2, "--seconds"),
    ],
)
def test_grade_refuses_before_any_work(clone, ran, arguments, status, message):
    words = refused("grade", *arguments, "--csv", "m.csv", status=status)
    assert message in words and ran == []


def test_another_table_is_not_replaced(clone, ran, tmp_path):
    (tmp_path / "m.csv").write_text("mine\n")
    words = refused("grade", ".", "--csv", tmp_path / "m.csv")
    assert "is no table of marks" in words
    assert (tmp_path / "m.csv").read_text() == "mine\n"


# ---- slides -----------------------------------------------------------------------


def test_slides_are_written_where_asked(clone, tmp_path, monkeypatch):
    out = tmp_path / "talk.html"
    asked = []
    monkeypatch.setattr(slides, "write", lambda *words: asked.append(words) or out)
    done = run("slides", "dpo", "--out", out)
    assert (done.exit_code, done.stdout) == (0, out.as_uri() + "\n")
    assert asked == [(clone, clone / "notebooks/src/20_dpo.py", out)]


def test_slides_of_what_is_not_there_are_refused(clone):
    assert "did you mean dpo?" in refused("slides", "dpp")
    assert "20_dpo.ipynb: missing file" in refused("slides", "20")
