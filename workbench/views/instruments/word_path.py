"""A control that writes a text word by word: a button per word, one to go back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WordPath:
    """Words chosen one after another; the value is the tuple of their numbers.

    Args:
        words: that may be chosen.
        depth: how many of them at most.
        end: what the button is called that ends the text; its number is len(words).
        label: what stands before the text.
    """

    words: Sequence[str]
    depth: int
    end: str = "the end"
    label: str = "your text"
    start: tuple[int, ...] = ()

    def widget(self) -> Any:
        """Buttons, reached with Tab and pressed with Space."""
        import traitlets
        from ipywidgets import Button, HBox, Label, Layout

        class Written(HBox):
            value = traitlets.Tuple()

        narrow = Layout(width="auto")
        names = [*self.words, self.end]
        buttons = [Button(description=name, layout=narrow) for name in names]
        back = Button(description="back", icon="arrow-left", layout=narrow)
        text = Label()
        box = Written(
            [text, *buttons, back],
            layout=Layout(flex_flow="row wrap", max_width="24em"),
        )

        def show(change: object = None) -> None:
            text.value = f"{self.label}: {self.text(box.value) or '…'}"
            for button in buttons:
                button.disabled = self.finished(box.value)
            back.disabled = not box.value

        def press(number: int) -> None:
            if not self.finished(box.value):
                box.value = (*box.value, number)

        for number, button in enumerate(buttons):
            button.on_click(lambda _, number=number: press(number))
        back.on_click(lambda _: setattr(box, "value", box.value[:-1]))
        box.observe(show, names="value")
        show()
        return box

    def text(self, path: Sequence[int]) -> str:
        """The words of a path, without the end."""
        return " ".join(self.words[at] for at in path if at < len(self.words))

    def finished(self, path: Sequence[int]) -> bool:
        """Whether nothing can follow."""
        return len(path) == self.depth or len(self.words) in path

    def grid(self) -> list[tuple[int, ...]]:
        """All paths of at most two words."""
        one = [(at,) for at in range(len(self.words))]
        two = [(*first, at) for first in one for at in range(len(self.words))]
        return [(), *one, *two]

    def told(self, path: Sequence[int]) -> str:
        """What a book calls a path."""
        return self.text(path) or "(nothing yet)"
