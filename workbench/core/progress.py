"""How far a loop is: shown while somebody may be looking, taken away when it ends.

On a terminal it is a line on stderr; into a pipe or a file, a sentence every 20 s; in a
notebook one output of the running cell, redrawn at most four times per second and
emptied at the end. Where nobody can look (papermill, nbconvert), and with
``WORKBENCH_PROGRESS=0``, it is nothing at all.
"""

import html
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

# What a notebook's server may strip from a file that it saves.
MARK = {"workbench": {"progress": True}}
WORDS = "{desc}: {n_fmt}/{total_fmt}, {elapsed} spent, about {remaining} left"
_now = time.monotonic


def is_bar(output: Mapping) -> bool:
    """Whether a notebook's output is a bar that was, or is being, shown in it."""
    metadata = output.get("metadata")
    ours = metadata.get("workbench") if isinstance(metadata, Mapping) else None
    return isinstance(ours, Mapping) and ours.get("progress") is True


class _Place:
    """Where nothing is shown, and what all places have in common.

    Attributes:
        every: seconds from one drawing to the next, whichever bar draws.
        drawn: when the last drawing was.
    """

    every = math.inf

    def __init__(self):
        self.drawn = -math.inf

    def show(self, meter: dict) -> None:
        """Draw a bar, given what tqdm's ``format_meter`` needs to know of it."""

    def clear(self) -> None:
        """Take the drawing away."""


class _Terminal(_Place):
    every = 0.25
    width = 0

    def show(self, meter: dict) -> None:
        columns = shutil.get_terminal_size().columns - 1
        plain = "utf" not in (sys.stderr.encoding or "").lower()
        line = _meter(meter, ncols=columns, ascii=plain)[:columns]
        _write("\r" + line.ljust(self.width))
        self.width = len(line)

    def clear(self) -> None:
        if self.width:
            _write("\r" + " " * self.width + "\r")
        self.width = 0


class _Log(_Place):
    every = 20.0

    def __init__(self):
        self.drawn = _now()  # a run shorter than that says nothing

    def show(self, meter: dict) -> None:
        _write(_meter(meter, bar_format=WORDS) + "\n")


class _Cell(_Place):
    """One output for all the bars of a cell, one after the other."""

    every = 0.25
    request, name, shown = "", "", False

    def show(self, meter: dict) -> None:
        from IPython.display import display

        request = _request()
        new = request != self.request
        if new:
            self.request, self.name = request, uuid4().hex
        words = _meter(meter, bar_format=WORDS)
        now, total = meter["n"], meter["total"]
        picture = f'<progress value="{now}" max="{total}"></progress>'
        bundle = {
            "text/plain": words,
            "text/html": f"<div>{picture} {html.escape(words)}</div>",
        }
        self.shown = True
        display(bundle, raw=True, metadata=MARK, display_id=self.name, update=not new)

    def clear(self) -> None:
        from IPython.display import display

        if self.shown:
            self.shown = False
            display({}, raw=True, metadata=MARK, display_id=self.name, update=True)


class Bar:
    """A loop of ``total`` steps, of which some are done.

    Attributes:
        done: steps that are done.
    """

    def __init__(self, total: int, initial: int, label: str):
        self.total, self.done, self.label = total, initial, label
        self._initial, self._start = initial, _now()
        self._place = _place()
        self._draw()

    def update(self, steps: int = 1) -> None:
        """Say that so many more steps are done."""
        self.done += steps
        self._draw()

    def close(self) -> None:
        """Take it away."""
        try:
            self._place.clear()
        except (OSError, ValueError):
            pass  # a closed terminal holds nothing any more

    def _draw(self) -> None:
        now = _now()
        if now - self._place.drawn < self._place.every:
            return
        self._place.drawn = now
        meter = {
            "n": self.done, "total": self.total, "elapsed": now - self._start,
            "initial": self._initial, "prefix": self.label,
        }  # fmt: skip
        try:
            self._place.show(meter)
        except (OSError, ValueError):
            self._place = _NOWHERE  # whoever read it is gone: no reason to stop


@contextmanager
def bar(total: int, initial: int = 0, label: str = "steps") -> Iterator[Bar]:
    """Show a loop's progress until the block ends, however it ends.

    Args:
        total: steps in all.
        initial: steps done before this call.
        label: what is counted, before the numbers.

    Yields:
        the bar; call its ``update`` after each step.
    """
    shown = Bar(total, initial, label)
    try:
        yield shown
    finally:
        shown.close()


_NOWHERE, _TERMINAL, _CELL = _Place(), _Terminal(), _Cell()
_logs: list[_Log] = []  # made by the first bar that writes into a pipe


def _place() -> _Place:
    if os.environ.get("WORKBENCH_PROGRESS") == "0":
        return _NOWHERE
    if _kernel() is not None:
        return _CELL if _request() else _NOWHERE
    try:
        if sys.stderr.isatty():
            return _TERMINAL
    except (AttributeError, ValueError):
        return _NOWHERE  # no stderr, or a closed one
    if not _logs:
        _logs.append(_Log())
    return _logs[0]


def _kernel():
    """The Jupyter kernel that runs this process, or None."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None)


def _request() -> str:
    """The running cell's request, "" if nobody is there to see its outputs.

    A front end with a person before it says that a cell may ask for input; a program
    that executes a notebook says that it may not.
    """
    kernel = _kernel()
    if kernel is None:
        return ""
    request = kernel.get_parent()
    watched = request.get("content", {}).get("allow_stdin", False)
    return request.get("header", {}).get("msg_id", "") if watched else ""


def _meter(meter: dict, **how) -> str:
    from tqdm import tqdm

    return tqdm.format_meter(**meter, **how)


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
