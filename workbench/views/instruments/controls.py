"""What a reader moves: sliders, switches and choices, described before they are drawn.

A control is data: JupyterLab makes an ipywidget of it, and the book, which has no
kernel, steps through its `grid`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import Any, Protocol, runtime_checkable

import numpy as np

LABEL = {"description_width": "initial"}


@runtime_checkable
class Control(Protocol):
    """One thing to move.

    Attributes:
        label: what stands beside it, with its unit.
        start: the value of the first figure, and of a reset.
    """

    label: str
    start: Any

    def widget(self) -> Any:
        """A new ipywidget with a `value`."""
        ...

    def grid(self) -> list[Any]:
        """The values at which a book shows the figure; empty if a book cannot."""
        ...

    def told(self, value: Any) -> str:
        """A value in words, for a book."""
        ...


@dataclass(frozen=True)
class Slider:
    """A slider over a list of values; it moves with the arrow keys.

    Args:
        label: what stands before it.
        values: in order; the start is one of them.
        start: where it begins.
        coarse: fewer of the values, for a book; all of them if empty.
        play: whether a button moves it by itself.

    Raises:
        ValueError: the start, or a coarse value, is none of the values.
    """

    label: str
    values: Sequence[Any]
    start: Any
    coarse: Sequence[Any] = ()
    play: bool = False

    def __post_init__(self) -> None:
        missing = [v for v in (self.start, *self.coarse) if v not in self.values]
        if missing:
            raise ValueError(f"“{self.label}” has no value {missing[0]!r}")

    def widget(self) -> Any:
        """A slider; with `play`, a button before it that steps through the values."""
        from ipywidgets import Layout, SelectionSlider

        slider = SelectionSlider(
            options=[(shown(value), value) for value in self.values],
            value=self.start,
            description=self.label,
            continuous_update=True,
            style=LABEL,
            # the label takes its room off the track
            layout=Layout(width=f"{max(22, 15 + 0.6 * len(self.label)):.0f}em"),
        )
        if len(self.values) < 2:  # there is nothing to move
            slider.layout.display = "none"
        return _played(slider) if self.play else slider

    def grid(self) -> list[Any]:
        """The coarse values with the start among them."""
        few = self.coarse or self.values
        return [value for value in self.values if value in few or value == self.start]

    def told(self, value: Any) -> str:
        """A number with three digits, a word as it is."""
        return shown(value)


@dataclass(frozen=True)
class Choice:
    """One of a few words: buttons, of which one is pressed.

    A native drop-down would not do: JupyterLab takes its arrow keys to move between
    cells.

    Args:
        label: what stands before it.
        values: what may be chosen.
        start: what is chosen first.
    """

    label: str
    values: Sequence[Any]
    start: Any

    def widget(self) -> Any:
        """Buttons, reached with Tab and pressed with Space."""
        from ipywidgets import ToggleButtons

        return ToggleButtons(
            options=[(shown(value), value) for value in self.values],
            value=self.start,
            description=self.label,
            style=LABEL | {"button_width": "auto"},
        )

    def grid(self) -> list[Any]:
        """All values."""
        return list(self.values)

    def told(self, value: Any) -> str:
        """A number with three digits, a word as it is."""
        return shown(value)


@dataclass(frozen=True)
class Switch:
    """A box to tick.

    Args:
        label: what is so when it is ticked.
        start: whether it is ticked first.
    """

    label: str
    start: bool = False

    def widget(self) -> Any:
        """A check box."""
        from ipywidgets import Checkbox

        return Checkbox(value=self.start, description=self.label, indent=False)

    def grid(self) -> list[Any]:
        """Both."""
        return [False, True]

    def told(self, value: bool) -> str:
        """Whether it is ticked."""
        return shown(value)


def powers(
    label: str,
    start: float | int,
    *,
    low: float | int,
    high: float | int,
    each: int = 20,
    coarse: int = 5,
) -> Slider:
    """A slider over round numbers with nearly equal ratios between neighbours.

    Args:
        label: what stands before it.
        start: where it begins; it need not be one of the others.
        low, high: its ends.
        each: how many steps to a factor of ten.
        coarse: how many of them in a book.
    """
    count = round((log10(high) - log10(low)) * each)
    digits = 2 if each <= 20 else 3  # 0.5 rather than 0.5012
    values = [float(f"{v:.{digits}g}") for v in np.geomspace(low, high, count + 1)]
    few = values[:: max(1, each // coarse)]
    return Slider(label, sorted({*values, start}), start, few)


def shown(value: object) -> str:
    """A value as a reader sees it: three digits of a number, a word as it is."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _played(slider: Any) -> Any:
    """The slider behind a button that moves it on by itself; its `value` is theirs."""
    import traitlets
    from ipywidgets import HBox, Play, jslink

    class Played(HBox):
        value = traitlets.Any()

    play = Play(max=len(slider.options) - 1, interval=150)
    jslink((play, "value"), (slider, "index"))
    both = Played([play, slider], value=slider.value)
    traitlets.link((slider, "value"), (both, "value"))
    return both
