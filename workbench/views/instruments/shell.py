"""The shell of every instrument: controls beside a picture that moves, no error lost.

A live notebook shows the controls, the picture, and a sentence that says what is seen
and is read to a screen reader. A stored notebook keeps the first figure, and the
states that a book without a kernel steps through.
"""

import html
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

from workbench.views.fig import Fig
from workbench.views.instruments.controls import Control
from workbench.views.instruments.live import LivePicture
from workbench.views.instruments.page_rule import Exact
from workbench.views.instruments.states import STATES, states
from workbench.views.table import folded

HOW_LIVE = "Run this notebook in JupyterLab to move the controls of this instrument."
ROW = {"flex_flow": "row wrap", "align_items": "center"}


def is_live(live: bool | None = None) -> bool:
    """Whether controls are shown.

    Args:
        live: True or False decides; None asks the surroundings: a notebook kernel,
            and not the runner, which sets WORKBENCH_PROGRESS=0.
    """
    if live is not None:
        return live
    if os.environ.get("WORKBENCH_PROGRESS") == "0":
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


class Instrument:
    """Controls that move a figure.

    Args:
        name: what the instrument is called.
        draw: from the controls' values (by name) to a figure; plain and testable. Its
            source is shown to the reader who asks how a state is computed.
        controls: by the names of `draw`'s arguments.
        live: True, False, or None to ask the surroundings.
        computed_by: the function whose source is shown, if it is not `draw`.
        picks: per name of a series in the figure, a function from the number of a
            clicked point to new values of some controls.
        exact: what a page without a kernel needs to compute the figures itself.

    Attributes:
        start: the figure at the controls' starts.
        widgets: the ipywidgets by name; empty when not live.
        last_error: the exception of the last redraw, None if it went well.
    """

    def __init__(
        self,
        name: str,
        draw: Callable[..., Fig],
        controls: Mapping[str, Control],
        live: bool | None = None,
        computed_by: Callable[..., Any] | None = None,
        picks: Mapping[str, Callable[[int], Mapping[str, Any]]] | None = None,
        exact: Exact | None = None,
    ):
        self.name, self.draw, self.controls = name, draw, dict(controls)
        self.exact = exact
        self.defaults = {key: control.start for key, control in controls.items()}
        self.computed_by, self.picks = computed_by or draw, dict(picks or {})
        self.start = draw(**self.defaults)
        self.last_error: Exception | None = None
        self.widgets: dict[str, Any] = {}
        self.live = is_live(live)
        if self.live:
            self._wire()

    def _wire(self) -> None:
        from ipywidgets import HTML, Box, Button, HBox, Layout, VBox

        self.widgets = {key: one.widget() for key, one in self.controls.items()}
        picks = {
            series: lambda at, chosen=chosen: self.set(chosen(at))
            for series, chosen in self.picks.items()
        }
        self.picture = LivePicture(self.start, picks)
        self.status = HTML(_status(self.name, self.start.caption))
        self.table = HTML(folded(self.start.data, self.start.rows))
        self.button = Button(description="Reset", layout=Layout(width="auto"))
        self.button.on_click(self.reset)
        for widget in self.widgets.values():
            widget.observe(self.redraw, names="value")
        # Beside the picture where there is room for 16em, in rows above it elsewhere.
        column = HBox(
            [*self.widgets.values(), self.button], layout=Layout(**ROW, flex="1 1 16em")
        )
        # In a narrow window the picture scrolls; it is not cut.
        wide = Layout(overflow="auto", max_width="100%")
        picture = Box([self.picture.widget], layout=wide)
        self.box = VBox(
            [
                HBox([column, picture], layout=Layout(**ROW)),
                self.status,
                self.table,
                HTML(_computed(self.computed_by)),
            ]
        )

    @property
    def values(self) -> dict[str, Any]:
        """What the controls say now; their starts when not live."""
        now = {name: widget.value for name, widget in self.widgets.items()}
        return self.defaults | now

    def redraw(self, change: object = None) -> None:
        """Draw the figure for the controls' values; an error is shown and kept.

        Raises:
            Exception: what the drawing raised, when WORKBENCH_STRICT=1.
        """
        try:
            figure = self.draw(**self.values)
            self.picture.show(figure)
            self.status.value = _status(self.name, figure.caption)
            self.table.value = folded(figure.data, figure.rows)
            self.last_error = None
        except Exception as error:
            self.last_error = error
            self.status.value = _alert(self.name, error)
            if os.environ.get("WORKBENCH_STRICT") == "1":
                raise

    def set(self, values: Mapping[str, Any]) -> None:
        """Move some controls.

        Args:
            values: by the names of the controls.
        """
        for name, value in values.items():
            self.widgets[name].value = value

    def reset(self, click: object = None) -> None:
        """Put every control back to where it began."""
        self.set(self.defaults)

    def states(self) -> dict[str, Any] | None:
        """What a book steps through; see `instruments.states.states`."""
        return states(self.name, self.draw, self.controls, self.exact)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if self.live:
            display(self.box)
            return
        self.start._ipython_display_()
        remark = {"text/html": f"<p>{html.escape(HOW_LIVE)}</p>"}
        found = self.states()
        kept = {STATES: found} if found else {}
        display(kept | remark | {"text/plain": HOW_LIVE}, raw=True)


def _computed(function: Callable[..., Any]) -> str:
    """The source that computes a state, folded."""
    try:
        code = html.escape(inspect.getsource(function))
    except (OSError, TypeError):  # written in a place that keeps no source
        return ""
    where = html.escape(f"{function.__module__}.{function.__qualname__}")
    return (
        f"<details><summary>How it is computed: <code>{where}</code></summary>"
        f"<pre>{code}</pre></details>"
    )


def _status(name: str, sentence: str) -> str:
    who, remark = html.escape(name), html.escape(sentence)
    return f'<p role="status" aria-live="polite"><b>{who}</b>: {remark}</p>'


def _alert(name: str, error: Exception) -> str:
    remark = html.escape(f"{name} failed: {type(error).__name__}: {error}")
    return f'<p role="alert" style="color:#b00020"><b>{remark}</b></p>'
