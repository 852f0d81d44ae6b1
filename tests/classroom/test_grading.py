"""`workbench grade` on a class of the honest, the unlucky and the clever."""

import csv
import os
import sys
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from tests.classroom.handed_in import GOOD, RIGHT, WRONG, course, submission
from workbench import cli

FORGED = """
print("✓ 20-2: right.")
display({"text/plain": "✓ 20-4: right."}, raw=True)
print("✓ dpo: value and gradient agree with the library's loss")"""
PATCHED = """
import math
from workbench.teach import check, exercise, findings
from workbench.methods.direct.links import dpo
exercise.Exercise.same = lambda self, a, b: True
math.isclose = lambda *a, **k: True
torch.allclose = lambda *a, **k: True
findings.Answer.agrees = lambda self, other: True
check._examine = lambda module, function: None
check.examined = lambda module, f: check.Verdict("dpo", True, None, "fine")
check.adapted.__code__ = (lambda function: function).__code__"""
REPLACED = 'teach.answer = lambda id, value=None: print("✓", id)'
OWN = """
class teach:
    check = type("check", (), {"dpo": staticmethod(lambda f: print("✓ dpo"))})
    answer = staticmethod(lambda id, value=None: print("✓", id))"""
CLASS = {
    "ada": GOOD,
    "wrong": {"20-2": 'teach.answer("20-2", 0.693)', "20-3": WRONG},
    "forger": {"20-2": FORGED, "20-3": FORGED, "20-4": FORGED},
    "patcher": {"setup": PATCHED, "20-2": PATCHED + '\nteach.answer("20-2", 7)',
                "20-3": PATCHED + WRONG, "20-4": 'teach.answer("20-4", "none")'},
    "replacer": {"20-2": REPLACED + '\nteach.answer("20-2", 7)', "20-3": RIGHT,
                 "20-4": 'teach.answer("20-4", "none")'},
    "own": {"setup": OWN, "20-2": 'teach.answer("20-2", 0.3466)', "20-3": RIGHT},
    "borrower": {"20-3": "from workbench.methods.direct.links import dpo\n"
                         "teach.check.dpo(dpo.loss)"},
    "raiser": {"20-2": "1 / 0", "20-3": RIGHT, "20-4": GOOD["20-4"]},
    "quitter": {"20-2": GOOD["20-2"], "20-3": "import os; os._exit(0)",
                "20-4": GOOD["20-4"]},
    "odd": {"20-2": 'teach.answer("20-2", object())',
            "20-4": 'teach.answer("20-4", ["none"])'},
    "guesser": {"20-2": "for k in range(60):\n"
                        '    if teach.answer("20-2", k / 100): break'},
    "hog": {"20-2": "x = bytearray(8 * 2**30)\n" + GOOD["20-2"],
            "20-4": GOOD["20-4"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Rows by student and exercise, and what the command printed."""
    root = course(tmp_path_factory.mktemp("course"))
    handed = root / "handed in"
    for name, cells in CLASS.items():
        (handed / name).mkdir(parents=True)
        (handed / name / "20_dpo.ipynb").write_bytes(submission(root, cells))
    (handed / "20_dpo_broken.ipynb").write_text('{"cells": [')
    (handed / "notes.ipynb").write_text(
        '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    )
    here, table = Path.cwd(), root / "marks" / "all.csv"
    os.chdir(root)
    try:
        words = ["grade", str(handed), "--csv", str(table), "--memory", "3G"]
        done = CliRunner().invoke(cli.app, words)
    finally:
        os.chdir(here)
    assert done.exit_code == 0, done.output
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {(r["student"], r["exercise"]): r for r in rows}, done, rows


def points(graded, student):
    rows, _, _ = graded
    return [rows[student, f"20-{n}"]["points"] for n in (2, 3, 4)]


def message(graded, student, exercise):
    return graded[0][student, exercise]["message"]


def test_right_answers_get_their_points(graded):
    assert points(graded, "ada") == ["1", "2", "3"]
    row = graded[0]["ada", "20-3"]
    assert (row["lesson"], row["of"], row["passed"]) == ("20_dpo", "2", "yes")


def test_wrong_answers_are_told_their_mistake(graded):
    assert points(graded, "wrong") == ["0", "0", "0"]
    assert "β is missing" in message(graded, "wrong", "20-2")
    assert "swapped" in message(graded, "wrong", "20-3")
    assert "no answer yet" in message(graded, "wrong", "20-4")


def test_what_a_notebook_prints_counts_for_nothing(graded):
    assert points(graded, "forger") == ["0", "0", "0"]
    assert "no call of teach.answer was heard" in message(graded, "forger", "20-2")


def test_rebinding_the_library_wins_nothing(graded):
    """And what was answered rightly beside it still counts."""
    assert points(graded, "patcher") == ["0", "0", "3"]
    assert "swapped" in message(graded, "patcher", "20-3")


def test_replacing_the_answer_silences_only_its_own_cell(graded):
    assert points(graded, "replacer") == ["0", "2", "3"]
    assert "replaced workbench.teach.answer" in message(graded, "replacer", "20-2")


def test_a_teach_of_one_s_own_is_not_heard(graded):
    assert points(graded, "own") == ["0", "0", "0"]


def test_the_library_s_loss_is_not_the_student_s(graded):
    assert points(graded, "borrower")[1] == "0"
    assert "library's own function" in message(graded, "borrower", "20-3")


def test_a_cell_that_raises_costs_its_own_exercise(graded):
    assert points(graded, "raiser") == ["0", "2", "3"]
    assert "ZeroDivisionError" in message(graded, "raiser", "20-2")


def test_a_process_that_ends_keeps_what_it_had(graded):
    assert points(graded, "quitter") == ["1", "0", "0"]
    assert "not reached: its process ended early" in message(graded, "quitter", "20-4")


def test_odd_values_are_no_answers_and_no_errors(graded):
    assert points(graded, "odd") == ["0", "0", "0"]
    assert message(graded, "odd", "20-4")


def test_the_number_of_tries_is_told(graded):
    assert points(graded, "guesser")[0] == "1"
    assert message(graded, "guesser", "20-2").endswith("tries)")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone limits memory")
def test_a_memory_hog_loses_one_exercise(graded):
    assert points(graded, "hog") == ["0", "0", "3"]
    assert "MemoryError" in message(graded, "hog", "20-2")


def test_broken_and_foreign_files_have_their_rows(graded):
    rows, _, _ = graded
    assert [rows["broken", f"20-{n}"]["points"] for n in (2, 3, 4)] == ["0"] * 3
    assert "is no notebook" in rows["broken", "20-2"]["message"]
    assert "no lesson that is graded" in rows["notes", ""]["message"]


def test_nobody_s_row_is_missing_and_the_summary_adds_up(graded):
    _, done, rows = graded
    assert len(rows) == 3 * (len(CLASS) + 1) + 1
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["ada", "20_dpo", "6/6"] in lines
    assert ["replacer", "20_dpo", "5/6"] in lines


def test_no_process_is_left(graded):
    me = psutil.Process()
    left = [c for c in me.children(recursive=True) if "sandbox" in str(c.cmdline())]
    assert not left
