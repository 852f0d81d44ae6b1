"""Points from events; a table that no student's text can break."""

import csv
from pathlib import Path

import pytest

from workbench.classroom import marks
from workbench.classroom.marks import Row
from workbench.classroom.submissions import Submission
from workbench.classroom.tasks import Task
from workbench.classroom.warden import Outcome
from workbench.core.errors import BadOption

NUMBER, LOSS = Task("20-2", "n", 1, 5), Task("20-3", "l", 2, 5, "dpo")
READ = Task("80-5", "own", 3, 30, "dpo")
PLACES = {1: "20-2", 2: "20-3", 3: "20-5", 4: "80-5"}


def row(task, *events, ended="", at=None, places=PLACES):
    one = Submission(Path("a.ipynb"), "ada", "20_dpo", exercise_of=places)
    [made] = marks.rows(one, Outcome(tuple(events), ended, at), [task])
    return made


def answer(value, cell=1, name="20-2"):
    return {"event": "answer", "cell": cell, "name": name, "value": value}


def check(passed, cell=2, name="dpo"):
    told = {"name": name, "passed": passed, "message": "so"}
    return {"event": "check", "cell": cell, **told}


def test_the_last_answer_counts():
    assert row(NUMBER, answer(1.0), answer(0.3466)).points == 1
    assert row(NUMBER, answer(0.3466), answer(1.0)).points == 0
    assert row(NUMBER, answer(1.0), answer(0.3466)).message.endswith("(2 tries)")


@pytest.mark.parametrize(
    "value", [{"odd": "dict"}, [[1]], {}, [1.0, 2.0], "half", float("nan"), True]
)
def test_no_value_breaks_the_grader(value):
    assert row(NUMBER, answer(value)).points == 0


def test_a_check_counts_in_its_own_exercise_only():
    assert row(LOSS, check(True)).points == 2
    assert row(LOSS, check(True, cell=3)).points == 0
    assert row(LOSS, check(True, name="ipo")).points == 0
    assert row(LOSS, check("yes")).points == 0


def test_a_check_counts_without_headings():
    """A student's copy may have lost them."""
    assert row(LOSS, check(True, cell=9), places={}).points == 2


def test_what_a_teacher_reads_is_not_marked():
    made = row(READ, check(True, cell=4))
    assert (made.points, made.passed, made.of) == (None, None, 3)


def test_silence_has_its_reason():
    stopped = row(NUMBER, ended="stopped after 3 seconds", at=7)
    assert stopped.message == "not reached: stopped after 3 seconds in cell 7"
    error = {"event": "error", "cell": 1, "message": "NameError: x"}
    assert row(NUMBER, error).message == "its cell raised NameError: x"
    assert row(LOSS).message == "no call of teach.check was heard"


def test_a_student_s_text_is_no_formula(tmp_path):
    made = Row("=cmd()", "20_dpo", "20-2", 0, 1, False, '-1\nis, "wrong"')
    path = tmp_path / "new" / "marks.csv"
    marks.write_csv(path, [made, Row("ada", "", "", None, 3, None, "read")])
    with path.open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["student"], first["message"]) == ("'=cmd()", '\'-1 is, "wrong"')
    assert (second["points"], second["passed"]) == ("", "")


def test_only_a_table_of_marks_is_replaced(tmp_path):
    path = tmp_path / "marks.csv"
    marks.refuse_other(path)
    marks.write_csv(path, [])
    marks.refuse_other(path)
    path.write_text("name,phone\n")
    with pytest.raises(BadOption, match="no table of marks"):
        marks.refuse_other(path)


def test_the_summary_has_a_line_per_student_and_lesson():
    found = [Row("ada", "20_dpo", "20-2", 1, 1, True, "right"),
             Row("ada", "20_dpo", "20-3", 0, 2, False, "wrong"),
             Row("ada", "80_arena", "80-5", None, 3, None, "read"),
             Row("bob", "", "", 0, 0, False, "it is no notebook")]  # fmt: skip
    lines = [line.split() for line in marks.summary(found)]
    assert ["ada", "20_dpo", "1/3"] in lines
    assert ["ada", "80_arena", "0/0", "1", "to", "read"] in lines
    assert ["bob", "?", "0/0", "it", "is", "no", "notebook"] in lines
