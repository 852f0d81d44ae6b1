"""The quiz of every lesson has three questions, one right option each, and reasons."""

import re
from importlib import resources
from pathlib import Path

import pytest

from workbench import teach
from workbench.runner.safe import markdown_html
from workbench.runner.series import find_root, sources
from workbench.teach import questions
from workbench.teach.questions import LETTERS, Option, Question, Quiz, bank

FOLDER = resources.files("workbench.teach") / "quiz"
NAMES = sorted(file.name[:-5] for file in FOLDER.iterdir())
LESSONS = [p.stem[:2] for p in sources(find_root(Path(__file__))) if p.stem[2] == "_"]
ALL = [(name, question) for name in NAMES for question in bank(name).questions]

each = pytest.mark.parametrize("name", NAMES)


def texts(question: Question) -> list[str]:
    """Everything that a reader reads of a question."""
    parts = [(option.text, option.why) for option in question.options]
    return [question.text, *(text for pair in parts for text in pair)]


def test_every_lesson_has_a_quiz_and_no_other():
    assert NAMES == LESSONS


@each
def test_a_quiz_has_three_questions_of_three_or_four_options(name):
    quiz = bank(name).questions
    assert len(quiz) == 3
    assert all(3 <= len(question.options) <= 4 for question in quiz)


@each
def test_one_option_is_right_and_every_one_has_its_reason(name):
    for question in bank(name).questions:
        assert sum(option.right for option in question.options) == 1, question.text
        for option in question.options:
            assert len(option.why.split()) >= 5, option
            assert option.why.strip().endswith("."), option
            assert option.why != option.text


def test_nothing_is_asked_twice():
    asked = [question.text for _, question in ALL]
    assert len(set(asked)) == len(asked)
    for _, question in ALL:
        options = [option.text for option in question.options]
        reasons = [option.why for option in question.options]
        assert len(set(options)) == len(options)
        assert len(set(reasons)) == len(reasons), question.text


def test_the_right_letter_cannot_be_guessed():
    """No letter is right in more than two of five questions, and no habit helps."""
    right = [question.right for _, question in ALL]
    for letter in "abcd":
        assert 0.1 < right.count(letter) / len(right) < 0.4, letter
    longest = [
        max(question.options, key=lambda option: len(option.text)).right
        for _, question in ALL
    ]
    assert sum(longest) / len(longest) < 0.75


@each
def test_formulas_are_drawn(name):
    """A broken formula would be shown as its source, in <code>."""
    for question in bank(name).questions:
        for text in texts(question):
            count = len(re.findall(r"\$[^$]+\$", text))
            shown = markdown_html(text)
            assert shown.count("<math") == count, text
            assert shown.count("<code>") == text.count("`") // 2, text
            bare = re.sub(r"\$[^$]*\$|`[^`]*`", "", text)
            assert "\\" not in bare and "_{" not in bare, text


SMALL = Quiz(
    "97",
    tuple(
        Question(f"Q{n}?", (Option("no", "it is not."), Option("yes", "it is.", True)))
        for n in (1, 2)
    ),
)


@pytest.fixture
def small(monkeypatch):
    """A quiz of two questions; b is right in both."""
    monkeypatch.setattr(questions, "bank", lambda lesson: SMALL)


def test_a_quiz_asks_and_tells_nothing(small):
    text = repr(teach.quiz("97"))
    assert "**1.** Q1?" in text and "- **b** · yes" in text
    assert "it is" not in text


def test_answers_are_marked_with_their_own_reasons(small):
    marked = teach.quiz("97", "B ", "a")
    assert marked.points == 1
    text = marked._repr_markdown_()
    assert "**1.** ✓ **b** · yes — it is." in text
    assert "**2.** ✗ **a** · no — it is not." in text
    assert text.endswith("1 of 2 right.")


def test_a_question_may_be_left_out(small):
    assert "**2.** no answer yet" in repr(teach.quiz("97", "b", ""))


@pytest.mark.parametrize(
    ("letters", "words"),
    [(["a"], "2 answers, not 1"), (["a", "c"], "question 2: 'c' is none of a, b"),
     (["ab", "a"], "question 1: 'ab' is none")],
)  # fmt: skip
def test_what_is_no_answer_is_refused(small, letters, words):
    with pytest.raises(ValueError, match=words):
        teach.quiz("97", *letters)


def test_an_unknown_lesson_is_refused_by_name():
    with pytest.raises(KeyError, match="no quiz of lesson '99'; there are 00, 01"):
        teach.quiz("99")
    assert set(LETTERS) >= set("abcd")
