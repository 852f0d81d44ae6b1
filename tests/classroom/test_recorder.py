"""The library is put back as it was, and answers become plain values."""

import math

import numpy as np
import pytest
import torch

from workbench.classroom.recorder import LONGEST, Guard, plain
from workbench.teach import exercise
from workbench.teach.exercise import Exercise, answer


@pytest.fixture(scope="module")
def guard():
    return Guard()


def test_what_was_rebound_is_put_back_and_named(guard):
    kept = exercise.mark, Exercise.same, torch.allclose, math.isclose
    exercise.mark = lambda id, value: True
    Exercise.same = lambda self, a, b: True
    torch.allclose = lambda *a, **k: True
    math.isclose = lambda *a, **k: True
    assert set(guard.restore()) == {
        "workbench.teach.exercise.mark",
        "workbench.teach.exercise.Exercise.same",
        "torch.allclose",
        "math.isclose",
    }
    assert kept == (exercise.mark, Exercise.same, torch.allclose, math.isclose)
    assert guard.restore() == []


def test_code_that_was_exchanged_is_put_back(guard):
    code = exercise._near.__code__
    exercise._near.__code__ = code.replace(co_firstlineno=1)
    assert guard.restore() == ["workbench.teach.exercise._near"]
    assert exercise._near.__code__ is code


def test_new_names_and_calls_are_nobody_s_fault(guard):
    exercise.of_a_student = 1
    try:
        answer("20-2", 0.3466)
        assert guard.restore() == []
    finally:
        del exercise.of_a_student


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("none", "none"),
        (3, 3.0),
        (np.float32(0.5), 0.5),
        (torch.tensor([2.0]), 2.0),
        (torch.tensor([1.0, 2.0]), [1.0, 2.0]),
        ((1, 2), [1.0, 2.0]),
        (object(), {"odd": "object"}),
        (["a"], {"odd": "list"}),
        ({"a": 1}, {"odd": "dict"}),
    ],
)
def test_an_answer_is_plain(value, expected):
    assert plain(value) == expected


def test_an_answer_without_end_is_cut():
    def endless():
        while True:
            yield 1

    assert len(plain(endless())) == LONGEST
    assert len(plain("x" * 10_000)) == LONGEST
