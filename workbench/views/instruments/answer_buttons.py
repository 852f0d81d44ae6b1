"""The control of the annotator: two reviews, one button each, pair after pair."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.views.instruments import label_files
from workbench.views.table import table

WIDE = "25em"
STEPS = (0, 1, 2, 3, 5, 7, 10, 15, 20)  # answers at which a book shows the figure
Compare = Callable[[Mapping[str, Sequence[int]], Sequence[int]], pd.DataFrame]


class Answers(tuple):
    """Answers to the first pairs: 1 where the first review is better, else −1."""

    def __str__(self) -> str:
        return f"{len(self)} answers"


@dataclass(frozen=True)
class AnswerButtons:
    """Pairs that are answered one after another; its value is the answers so far.

    Args:
        label: the question.
        pairs: the words of both reviews of every pair.
        machine: what the machine answers to them.
        compare: from everybody's answers, by name, and one's own to a table.
        folder: where labels are kept; `label_files.working_folder()` if None.
        start: the answers of the first figure.
    """

    label: str
    pairs: Sequence[tuple[str, str]]
    machine: Sequence[int]
    compare: Compare
    folder: Path | None = None
    start: Answers = Answers()

    def widget(self) -> Any:
        """Two buttons for the reviews, then undo, the machine, and files."""
        return _Panel(self).box

    def grid(self) -> list[Answers]:
        """The first answers of the machine, more and more of them."""
        return [Answers(self.machine[:n]) for n in STEPS if n <= len(self.pairs)]

    def told(self, value: Answers) -> str:
        """How many answers there are."""
        return str(value)


class _Panel:
    """The buttons of a control, and what each of them does.

    Attributes:
        box: an ipywidget with a `value`, which others may set too.
    """

    def __init__(self, control: AnswerButtons):
        import traitlets
        from ipywidgets import HTML, HBox, Layout, Text, VBox

        class Box(VBox):
            value = traitlets.Any()

        self.control, self.question, self.told = control, HTML(), HTML()
        self.name = Text(placeholder="your name", layout=Layout(width="9em"))
        self.sides = [
            self.button("", lambda which=which: self.answer(which), "10.5em")
            for which in (1, -1)
        ]
        self.back = self.button("Undo", self.undo)
        self.machine = self.button("Machine answers the rest", self.rest)
        files = [self.button("Save", self.save), self.button("Load", self.load)]
        others = self.button("Compare everybody", self.compare)
        rows = [self.sides, [self.back, self.machine], [self.name, *files], [others]]
        self.box = Box(
            [self.question, *map(HBox, rows), self.told],
            value=control.start,
            layout=Layout(width=WIDE),
        )
        self.box.observe(self.show, names="value")
        self.show()

    def button(self, text: str, do: Callable[[], None], width: str = "auto") -> Any:
        """A button; what goes wrong with a file is said below the buttons."""
        from ipywidgets import Button, Layout

        def press(_: object) -> None:
            try:
                do()
            except (ValueError, OSError) as error:
                self.say(str(error), "alert")

        made = Button(description=text, layout=Layout(width=width, flex="0 0 auto"))
        made.on_click(press)
        return made

    def say(self, text: str, role: str = "status") -> None:
        """A sentence below the buttons."""
        self.told.value = f'<p role="{role}">{html.escape(text)}</p>'

    def answer(self, which: int) -> None:
        """One more answer."""
        self.box.value = Answers([*self.box.value, which])

    def undo(self) -> None:
        """One answer less."""
        self.box.value = Answers(self.box.value[:-1])

    def rest(self) -> None:
        """What the machine says of all pairs without an answer."""
        known = self.box.value
        self.box.value = Answers([*known, *self.control.machine[len(known) :]])

    @property
    def folder(self) -> Path:
        """Where labels are kept."""
        return self.control.folder or label_files.working_folder()

    def save(self) -> None:
        """Keep the answers under the name."""
        path = label_files.label_file(self.name.value.strip(), self.folder)
        label_files.keep(path, self.control.pairs, self.box.value)
        self.say(f"{len(self.box.value)} answers are kept in {path.name}.")

    def load(self) -> None:
        """Read the answers kept under the name."""
        path = label_files.label_file(self.name.value.strip(), self.folder)
        if not path.exists():
            raise ValueError(f"there is no {path.name} in this folder")
        self.box.value = Answers(label_files.read(path, self.control.pairs))
        self.say(f"{len(self.box.value)} answers were read from {path.name}.")

    def compare(self) -> None:
        """A table of all people whose answers lie in the folder."""
        people = label_files.everybody(self.folder, self.control.pairs)
        self.told.value = table(self.control.compare(people, self.box.value), 40)

    def show(self, change: object = None) -> None:
        """The pair that comes next."""
        known, all_of = len(self.box.value), len(self.control.pairs)
        done = known == all_of
        words = ("–", "–") if done else self.control.pairs[known]
        for which, text in zip(self.sides, words, strict=True):
            which.description, which.disabled = text, done
        self.back.disabled, self.machine.disabled = known == 0, done
        where = "all pairs answered" if done else f"pair {known + 1} of {all_of}"
        text = html.escape(f"{self.control.label} ({where})")
        self.question.value = f'<p role="status">{text}</p>'
