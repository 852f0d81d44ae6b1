"""The shell of every instrument: controls in, figure out, no error lost.

The static figure at the default values is shown first and is what a stored notebook
keeps. A live notebook adds the controls; the first move adds a second picture below
them, so that "start" and "now" stand together.
"""

import html
import os
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from math import log10
from typing import Any

from workbench.views.fig import Fig
from workbench.views.table import folded

HOW_LIVE = "Run this notebook in JupyterLab to move the controls of this instrument."


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
    """Controls that redraw a figure.

    Args:
        name: what the instrument is called.
        draw: from the controls' values (by name) to a figure; plain and testable.
        defaults: the values of the first figure.
        controls: makes the ipywidgets, by the same names; called only when live.
        live: True, False, or None to ask the surroundings.

    Attributes:
        start: the static figure at the default values.
        widgets: the controls by name; empty when not live.
        last_error: the exception of the last redraw, None if it went well.
    """

    def __init__(
        self,
        name: str,
        draw: Callable[..., Fig],
        defaults: Mapping[str, Any],
        controls: Callable[[], Mapping[str, Any]],
        live: bool | None = None,
    ):
        self.name, self.draw, self.defaults = name, draw, dict(defaults)
        self.start = draw(**self.defaults)
        self.last_error: Exception | None = None
        self.widgets: dict[str, Any] = {}
        self.live = is_live(live)
        if self.live:
            self._wire(dict(controls()))

    def _wire(self, controls: dict[str, Any]) -> None:
        from ipywidgets import HTML, VBox

        if set(controls) != set(self.defaults):
            raise ValueError(f"controls {set(controls)} are not {set(self.defaults)}")
        self.widgets = controls
        self.status = HTML(_status(self.name, self.start.caption))
        self.picture = HTML("")
        for widget in controls.values():
            widget.observe(self.redraw, names="value")
        self.box = VBox([*controls.values(), self.status, self.picture])

    @property
    def values(self) -> dict[str, Any]:
        """What the controls say now; the defaults when not live."""
        now = {name: widget.value for name, widget in self.widgets.items()}
        return self.defaults | now

    def redraw(self, change: object = None) -> None:
        """Draw the figure for the controls' values; an error is shown and kept.

        Raises:
            Exception: what the drawing raised, when WORKBENCH_STRICT=1.
        """
        try:
            figure = self.draw(**self.values)
            self.picture.value = _picture(figure)
            self.status.value = _status(self.name, figure.caption)
            self.last_error = None
        except Exception as error:
            self.last_error = error
            self.status.value = _alert(self.name, error)
            if os.environ.get("WORKBENCH_STRICT") == "1":
                raise

    def _ipython_display_(self) -> None:
        from IPython.display import display

        self.start._ipython_display_()
        if self.live:
            display(self.box)
        else:
            remark = f"<p>{html.escape(HOW_LIVE)}</p>"
            display({"text/html": remark, "text/plain": HOW_LIVE}, raw=True)


def steps(description: str, options: Sequence, value: object):
    """A slider over a list: it moves with the arrow keys.

    A native drop-down does not: JupyterLab takes those keys to move between cells.
    """
    from ipywidgets import Layout, SelectionSlider

    return SelectionSlider(
        options=[(str(option), option) for option in options],
        value=value,
        description=description,
        continuous_update=False,
        style={"description_width": "7em"},
        layout=Layout(width="34em"),
    )


def log_slider(
    description: str,
    value: float | int,
    *,
    low: float | int,
    high: float | int,
    step: float,
):
    """A slider over the powers of ten between two ends.

    Args:
        description: what stands before it.
        value: where it starts.
        low, high: its ends.
        step: of the exponent.
    """
    from ipywidgets import FloatLogSlider, Layout

    return FloatLogSlider(
        value=value,
        base=10,
        min=log10(low),
        max=log10(high),
        step=step,
        description=description,
        readout_format=".3f",
        continuous_update=False,
        style={"description_width": "7em"},
        layout=Layout(width="34em"),
    )


def _status(name: str, sentence: str) -> str:
    who, remark = html.escape(name), html.escape(sentence)
    return f'<p role="status" aria-live="polite"><b>{who}</b>: {remark}</p>'


def _alert(name: str, error: Exception) -> str:
    remark = html.escape(f"{name} failed: {type(error).__name__}: {error}")
    return f'<p role="alert" style="color:#b00020"><b>{remark}</b></p>'


def _picture(figure: Fig) -> str:
    source = b64encode(figure.png).decode()
    image = (
        f'<img alt="{html.escape(figure.alt)}" src="data:image/png;base64,{source}">'
    )
    return image + folded(figure.data, figure.rows)
