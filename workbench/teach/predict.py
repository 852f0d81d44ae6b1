"""A prediction before a run, and what became of it after the run.

A reader who has committed to a guess sees what is surprising. Each prediction has an
id, "LESSON-NUMBER"; the same id is answered later in the lesson, in words. In a live
notebook the answer is clicked (:mod:`workbench.teach.buttons`); a stored one says what
was written into the cell.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.teach import kept
from workbench.teach.box import framed, sign

UNWRITTEN = "not written yet"


@dataclass(frozen=True)
class Prediction:
    """A question that is asked before its answer can be seen.

    Attributes:
        id: lesson and number, such as "20-1".
        question: what to predict, in a sentence.
        options: the answers to choose from; empty if any text may be written.
        mine: the reader's answer; empty as long as there is none.
    """

    id: str
    question: str
    options: tuple[str, ...]
    mine: str

    def __repr__(self) -> str:
        choice = f" ({' / '.join(self.options)})" if self.options else ""
        answer = self.mine or UNWRITTEN
        return f"Prediction {self.id}: {self.question}{choice} Your answer: {answer}"

    def _repr_html_(self) -> str:
        choice = " / ".join(map(html.escape, self.options))
        rows = [f"<b>Prediction {self.id}.</b> {html.escape(self.question)}"]
        rows += [f"Choose: {choice}"] if choice else []
        told = html.escape(self.mine) or "not written yet: fill in <code>mine</code>"
        rows.append(f"Your answer: <i>{told}</i>")
        return framed("<br>".join(rows))

    def _ipython_display_(self) -> None:
        if not kept.live():
            raise NotImplementedError  # IPython shows text and HTML, as for anything
        from workbench.teach import buttons

        buttons.show(ASKED.get(self.id, self), lambda answer: _choose(self, answer))


@dataclass(frozen=True)
class Revealed:
    """What was predicted, what is, and why."""

    prediction: Prediction
    right: str
    because: str

    @property
    def correct(self) -> bool | None:
        """Whether the guess was right; None without a guess or without options."""
        guess = self.prediction
        return guess.mine == self.right if guess.mine and guess.options else None

    def _parts(self) -> tuple[str, str, str]:
        mark = "" if self.correct is None else f" {sign(self.correct)}"
        mine = self.prediction.mine or "nothing yet"
        return f"Prediction {self.prediction.id}", f"{mine}{mark}", self.right

    def __repr__(self) -> str:
        head, mine, right = self._parts()
        return f"{head}. You predicted: {mine}. It is: {right}, because {self.because}"

    def _repr_html_(self) -> str:
        head, mine, right = map(html.escape, self._parts())
        because = html.escape(self.because)
        return framed(
            f"<b>{head}.</b> You predicted: <i>{mine}</i>.<br>"
            f"It is: <b>{right}</b>, because {because}"
        )


ASKED: dict[str, Prediction] = {}  # in this session, by id


def _choose(asked: Prediction, answer: str) -> tuple[Prediction, bool]:
    """Keep a clicked answer for `reveal`, and for the next kernel where that can be."""
    ASKED[asked.id] = replace(asked, mine=answer)
    return ASKED[asked.id], kept.keep(asked.id, answer)


def predict(
    id: str, question: str, options: Sequence[str] = (), mine: str = ""
) -> Prediction:
    """Ask for a prediction and keep the reader's answer.

    Args:
        id: lesson and number, such as "20-1"; :func:`reveal` answers the same id.
        question: what to predict, in a sentence.
        options: answers to choose from.
        mine: the reader's answer, written into the cell; it counts more than one that
            was clicked in an earlier session.

    Raises:
        ValueError: the answer is none of the options.
    """
    if mine and options and mine not in options:
        raise ValueError(f"prediction {id}: {mine!r} is none of {', '.join(options)}")
    if not mine and kept.live():
        mine = kept.answers().get(id, "")
        mine = mine if not options or mine in options else ""
    made = Prediction(id, question, tuple(options), mine)
    ASKED[id] = made
    return made


def reveal(id: str, right: str, because: str) -> Revealed:
    """Answer a prediction beside what the reader wrote.

    Args:
        id: that of the prediction.
        right: the answer, computed; one of the options if there are any.
        because: the reason, a clause that follows "because", with its numbers.

    Raises:
        KeyError: no such prediction was asked in this session.
        ValueError: the answer is none of the options.
    """
    if id not in ASKED:
        raise KeyError(f"prediction {id} was not asked: run its cell first")
    asked = ASKED[id]
    if asked.options and right not in asked.options:
        options = ", ".join(asked.options)
        raise ValueError(f"prediction {id}: {right!r} is none of {options}")
    return Revealed(asked, right, because)
