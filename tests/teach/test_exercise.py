"""Answers are checked, typical wrong ones explained, hints come one by one."""

from importlib import resources

import pytest
import torch

from workbench.teach import answer, exercise, hint, solution
from workbench.teach.exercise import Exercise

REAL = exercise.exercises
WRONG = ({"value": 1.0, "why": "β is missing."},)
KNOWN = {
    "97-1": Exercise("97-1", ("look", "think"), 0.5, 0.01, "nats", "So.", WRONG),
    "97-2": Exercise("97-2", ("a hint",), "same", because="It cancels."),
    "97-3": Exercise("97-3", ("a hint",), [1.0, 2.0], 0.1),
    "97-4": Exercise("97-4", ("a hint",)),
}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(exercise, "exercises", lambda lesson: KNOWN)
    exercise._GIVEN.clear()


def test_a_number_within_its_limit_is_right():
    assert answer("97-1", 0.509) and answer("97-1", torch.tensor(0.495))
    assert not answer("97-1", 0.52)
    assert answer("97-1", 0.5).message == "right. So."


def test_a_typical_wrong_number_is_explained():
    assert answer("97-1", 1.0).message == "β is missing."


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.7, "too large (in nats)"), (0.2, "too small"), (-0.5, "sign is wrong")],
)
def test_another_wrong_number_is_told_apart(value, words):
    assert words in answer("97-1", value).message


def test_no_answer_yet_is_no_error():
    marked = answer("97-1", None)
    assert not marked and "no answer yet" in marked.message


def test_a_choice_is_compared_by_its_words():
    assert answer("97-2", " Same ") and not answer("97-2", "larger")
    assert "'larger' is not the answer" in answer("97-2", "larger").message
    assert not answer("97-2", 3)


def test_of_several_numbers_the_wrong_one_is_named():
    assert answer("97-3", [1.05, 2.0])
    assert "number 2 is not right" in answer("97-3", torch.tensor([1.0, 5.0])).message
    assert "2 numbers are asked for" in answer("97-3", 1.0).message


def test_an_answer_that_is_no_number_is_no_error():
    assert not answer("97-1", "half")


def test_hints_come_one_by_one_and_begin_again():
    told = [hint("97-1").message for _ in range(3)]
    assert told == ["hint 1 of 2: look", "hint 2 of 2: think", "hint 1 of 2: look"]


def test_what_is_not_there_is_refused():
    with pytest.raises(KeyError, match="did you mean 97-1"):
        answer("97-11", 1.0)
    with pytest.raises(KeyError, match="teach.check"):
        answer("97-4", 1.0)


def test_a_solution_that_differs_from_what_readers_are_told_fails():
    assert solution("97-1", 0.5).passed
    with pytest.raises(AssertionError, match="stored is 0.5"):
        solution("97-1", 0.7)


def test_every_file_is_well_formed():
    """Each typical wrong answer differs from the right one, and says why."""
    files = resources.files("workbench.teach.exercises").iterdir()
    names = [file.name[:-5] for file in files if file.name.endswith(".toml")]
    assert names
    for lesson in names:
        for id, one in REAL(lesson).items():
            assert id.startswith(lesson) and one.hints, id
            assert one.right is None or one.because, id
            for typical in one.wrong:
                assert not one.same(typical["value"], one.right), (id, typical)
                assert typical["why"].strip(), id
