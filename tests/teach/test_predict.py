"""A prediction is kept, and its answer stands beside it under the same id."""

import pytest

from workbench.teach import predict, reveal


def test_an_answer_stands_beside_the_prediction():
    predict("20-1", "Above or below?", ["above", "below"], mine="above")
    told = reveal("20-1", "below", "the offset is larger.")
    assert told.correct is False
    text = repr(told)
    assert "You predicted: above ✗. It is: below, because the offset" in text
    predict("20-1", "Above or below?", ["above", "below"], mine="below")
    assert reveal("20-1", "below", "x").correct is True


def test_a_reader_who_wrote_nothing_is_not_marked():
    predict("20-2", "Which?", ["a", "b"])
    told = reveal("20-2", "a", "x")
    assert told.correct is None and "nothing yet" in repr(told)


def test_a_free_answer_is_not_marked():
    predict("20-3", "How many?", mine="seven")
    assert reveal("20-3", "12", "x").correct is None


def test_what_cannot_be_answered_is_refused():
    with pytest.raises(ValueError, match="none of a, b"):
        predict("20-4", "Which?", ["a", "b"], mine="c")
    predict("20-4", "Which?", ["a", "b"])
    with pytest.raises(ValueError, match="none of a, b"):
        reveal("20-4", "c", "x")
    with pytest.raises(KeyError, match="run its cell first"):
        reveal("99-9", "a", "x")


def test_markup_is_escaped():
    shown = predict("20-5", "<b>?</b>", ["<i>"], mine="<i>")._repr_html_()
    assert "<b>?" not in shown and "&lt;b&gt;?" in shown
    assert "&lt;i&gt;" in reveal("20-5", "<i>", "<u>")._repr_html_()
