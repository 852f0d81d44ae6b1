"""What is done is read from this kernel and from the notebooks beside it."""

import json

import pytest

from workbench.teach import achieved, answer, exercise, kept, predict, progress, record
from workbench.teach.exercise import Exercise
from workbench.teach.predict import ASKED

KNOWN = {
    "97-1": Exercise("97-1", right=1.0),
    "97-2": Exercise("97-2"),
    "97-3": Exercise("97-3", right="a"),
}


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No earlier answers, three exercises, an empty folder."""
    monkeypatch.setattr(exercise, "exercises", lambda lesson: KNOWN)
    monkeypatch.setattr(
        achieved, "exercises", lambda lesson: KNOWN if lesson == "97" else {}
    )
    monkeypatch.chdir(tmp_path)
    ASKED.clear()
    record.ANSWERED.clear()
    yield
    ASKED.clear()
    record.ANSWERED.clear()


def code(source, *shown, tags=()):
    """A cell with outputs of plain text."""
    outputs = [
        {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}
        for text in shown
    ]
    return {
        "cell_type": "code",
        "source": [source],
        "metadata": {"tags": list(tags)},
        "outputs": outputs,
    }


def text(source):
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def save(folder, *cells, name="97_odd.ipynb"):
    (folder / name).write_text(json.dumps({"cells": list(cells)}), "utf-8")


def only(done):
    [lesson] = done.lessons
    return lesson


def test_this_kernel_knows_what_was_predicted_and_answered():
    predict("97-1", "Which?", ["a", "b"], mine="a")
    predict("97-2", "Which?", ["a", "b"])
    answer("97-1", 1.0), answer("97-3", "b")
    lesson = only(progress())
    assert (lesson.predicted, lesson.asked) == ({"97-1"}, {"97-1", "97-2"})
    assert (lesson.passed, lesson.left) == ({"97-1"}, ["97-2", "97-3"])


def test_a_solution_is_no_answer_and_no_answer_is_none():
    exercise.solution("97-1", 1.0)
    answer("97-3", None)
    predict("97-1", "Which?", mine="x")
    assert only(progress()).passed == set()


def test_saved_notebooks_are_read(tmp_path):
    save(
        tmp_path,
        code(
            'teach.predict(\n "97-1", "?")\nteach.predict("97-2", "?")',
            "Prediction 97-1: ? (a / b) Your answer: a",
            "Prediction 97-2: ? (a / b) Your answer: not written yet",
        ),
        text("**97-1 · Number** (●○○, 5 minutes)."),
        code("teach.answer('97-1', 1)", "✓ 97-1: right."),
        text("**97-2 · Loss** (●○○, 5 minutes)."),
        code("teach.check.dpo(f)", "✓ dpo: value and gradient agree"),
        text("**97-3 · Word** (●○○, 5 minutes)."),
        code("teach.answer('97-3', 'b')", "✗ 97-3: no"),
    )
    lesson = only(progress(tmp_path))
    assert lesson.row() == ("97", "1 of 2", "2 of 3", "97-3")


def test_solutions_and_other_checks_count_for_nothing(tmp_path):
    save(
        tmp_path,
        code("teach.check.dpo(f)", "✓ dpo: outside of any exercise"),
        text("**97-1 · Number** (●○○, 5 minutes)."),
        code("teach.check.dpo(f)", "✓ dpo: this exercise asks for a number"),
        code("teach.solution('97-1', 1)", "✓ 97-1: right.", tags=["solution"]),
        text("**97-2 · Loss** (●○○, 5 minutes)."),
        code("teach.check.dpo(f)", "✓ dpo: it agrees", tags=["solution"]),
        code("teach.check.dpo(g)", "✗ dpo: wrong value"),
    )
    assert only(progress(tmp_path)).passed == set()


def test_clicked_answers_are_found(tmp_path):
    save(tmp_path, code('teach.predict("97-1", "?")'))
    kept.keep("97-1", "a", tmp_path)
    assert only(progress(tmp_path)).predicted == {"97-1"}


@pytest.mark.parametrize("data", ["", "{}", '{"cells": 3}', '{"cells": [3, {}]}'])
def test_a_damaged_notebook_costs_nothing(tmp_path, data):
    (tmp_path / "97_odd.ipynb").write_text(data)
    assert only(progress(tmp_path)).row() == ("97", "0 of 0", "0 of 3",
                                              "97-1, 97-2, 97-3")  # fmt: skip


def test_it_is_shown_as_text_and_as_a_table_and_writes_nothing(tmp_path):
    save(tmp_path, code("1"))
    before = sorted(tmp_path.iterdir())
    done = progress(tmp_path)
    assert repr(done).splitlines()[0].split()[:2] == ["lesson", "predictions"]
    assert "<td>0 of 3</td>" in done._repr_html_()
    assert sorted(tmp_path.iterdir()) == before


def test_the_lines_of_answers_are_those_that_are_read():
    """What `progress` looks for in saved outputs is what is shown there."""
    asked = predict("97-1", "Which one?", ["a", "b"], mine="a")
    assert achieved.PREDICTED.findall(repr(asked)) == [("97-1", "a")]
    assert achieved.PASSED.findall(repr(answer("97-1", 1.0))) == ["97-1"]
