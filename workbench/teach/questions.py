"""The quiz of a lesson: three questions, each with the reason of every option.

Each lesson has a file ``quiz/NN.toml``::

    [[question]]
    text = 'Over whose answers …?'

    [[question.option]]
    text = 'over answers of the policy'
    right = true
    why = 'The weights of the sum are π(y).'

The wrong options are what people do believe; one option is right.
"""

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources

from workbench.core.suggest import suggest
from workbench.teach.box import sign

LETTERS = "abcdef"


@dataclass(frozen=True)
class Option:
    """One answer to choose.

    Attributes:
        text: the answer, Markdown with LaTeX.
        why: why it is right or wrong, a sentence or two.
        right: whether it is the right one.
    """

    text: str
    why: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A question with its options, of which one is right."""

    text: str
    options: tuple[Option, ...]

    @property
    def right(self) -> str:
        """The letter of the right option."""
        return next(
            letter
            for letter, option in zip(LETTERS, self.options, strict=False)
            if option.right
        )

    def lines(self) -> list[str]:
        """The question and its options, as Markdown."""
        listed = zip(LETTERS, self.options, strict=False)
        return [self.text, "", *(f"- **{x}** · {option.text}" for x, option in listed)]


@dataclass(frozen=True)
class Quiz:
    """The questions of a lesson.

    Attributes:
        lesson: its number, such as "20".
        questions: three of them.
    """

    lesson: str
    questions: tuple[Question, ...]

    def __repr__(self) -> str:
        parts = [f"**Quiz of lesson {self.lesson}**", ""]
        for number, question in enumerate(self.questions, 1):
            first, *rest = question.lines()
            parts += [f"**{number}.** {first}", *rest, ""]
        letters = ", ".join('"…"' for _ in self.questions)
        return "\n".join([*parts, f'Answer: `teach.quiz("{self.lesson}", {letters})`'])

    def _repr_markdown_(self) -> str:
        return repr(self)

    def marked(self, letters: tuple[str, ...]) -> "MarkedQuiz":
        """Answers with their verdicts; see `quiz`."""
        if len(letters) != len(self.questions):
            raise ValueError(f"{len(self.questions)} answers, not {len(letters)}")
        given = tuple(str(letter).strip().lower() for letter in letters)
        for number, (question, letter) in enumerate(
            zip(self.questions, given, strict=True), 1
        ):
            known = LETTERS[: len(question.options)]
            if letter and (len(letter) != 1 or letter not in known):
                options = ", ".join(known)
                raise ValueError(f"question {number}: {letter!r} is none of {options}")
        return MarkedQuiz(self, given)


@dataclass(frozen=True)
class MarkedQuiz:
    """Answers to a quiz; an empty one was left out."""

    quiz: Quiz
    letters: tuple[str, ...]

    @property
    def points(self) -> int:
        """How many are right."""
        both = zip(self.quiz.questions, self.letters, strict=True)
        return sum(question.right == letter for question, letter in both)

    def __repr__(self) -> str:
        """Each choice with its reason; the right one is not told to who missed it."""
        parts = []
        both = zip(self.quiz.questions, self.letters, strict=True)
        for number, (question, letter) in enumerate(both, 1):
            if not letter:
                parts.append(f"**{number}.** no answer yet.")
                continue
            option = question.options[LETTERS.index(letter)]
            mark = f"**{number}.** {sign(option.right)} **{letter}**"
            parts.append(f"{mark} · {option.text} — {option.why}")
        count = f"{self.points} of {len(self.letters)} right."
        return "\n\n".join([*parts, count])

    def _repr_markdown_(self) -> str:
        return repr(self)


@functools.cache
def bank(lesson: str) -> Quiz:
    """The quiz of a lesson.

    Args:
        lesson: its number, such as "20".

    Raises:
        KeyError: it has none.
    """
    # a folder and no package: a module of this name would hide the function
    folder = resources.files("workbench.teach") / "quiz"
    file = folder / f"{lesson}.toml"
    if not file.is_file():
        known = sorted(f.name[:-5] for f in folder.iterdir() if f.name[-5:] == ".toml")
        near = suggest(lesson, known) or f"; there are {', '.join(known)}"
        raise KeyError(f"no quiz of lesson {lesson!r}{near}")
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return Quiz(
        lesson,
        tuple(
            Question(each["text"], tuple(Option(**o) for o in each["option"]))
            for each in table["question"]
        ),
    )


def quiz(lesson: str, *letters: str) -> Quiz | MarkedQuiz:
    """The questions of a lesson, or the marks of your answers.

    ``teach.quiz("20")`` asks; ``teach.quiz("20", "a", "c", "b")`` marks.

    Args:
        lesson: its number.
        letters: one per question, an empty one for a question that you leave out.

    Raises:
        KeyError: there is no such quiz.
        ValueError: a number of answers that is not that of the questions, or a letter
            that no option has.
    """
    asked = bank(lesson)
    return asked.marked(letters) if letters else asked
