"""A bar is seen while a loop runs; nothing of it is left when the loop has ended."""

import io
import os
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from workbench.core import progress
from workbench.core.errors import NonFiniteLoss
from workbench.loops.schedule import Schedule
from workbench.loops.session import Session

ROOT = Path(__file__).resolve().parents[2]


# ---- beside a terminal or a pipe --------------------------------------------------


class Stream(io.StringIO):
    """Stderr that is a terminal or a pipe, and counts what is written."""

    def __init__(self, terminal: bool):
        super().__init__()
        self.terminal, self.writes = terminal, 0

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.terminal

    def write(self, text: str) -> int:
        """Keep and count."""
        self.writes += 1
        return super().write(text)


class Clock:
    """Seconds that pass only when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Bars as in a new process with progress on, and a clock of our own."""
    clock = Clock()
    monkeypatch.delenv("WORKBENCH_PROGRESS", raising=False)
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr(progress, "_now", clock)
    monkeypatch.setattr(progress, "_TERMINAL", progress._Terminal())
    monkeypatch.setattr(progress, "_logs", [])
    return clock


def stderr(monkeypatch, terminal: bool) -> Stream:
    stream = Stream(terminal)
    monkeypatch.setattr("sys.stderr", stream)
    return stream


def screen(text: str) -> list[str]:
    """What a terminal shows after `text`: a carriage return goes back to column 0."""
    shown = []
    for line in text.split("\n"):
        cells: list[str] = []
        for part in line.split("\r"):
            cells[: len(part)] = part
        shown.append("".join(cells).rstrip())
    return shown


def one_weight() -> torch.nn.Module:
    model = torch.nn.Linear(1, 1)
    model.members = 1
    return model


def train(fail_at: int | None = None, error: BaseException | None = None) -> None:
    """Four steps of a loop, which may fail in its body."""
    model = one_weight()
    session = Session(model, Schedule(steps=4, lr=0.1))
    for step in session:
        if step == fail_at:
            raise error
        session.step(model(torch.ones(2, 1)).flatten())


def test_a_terminal_shows_the_bar_while_the_loop_runs_and_nothing_after_it(
    clock, monkeypatch
):
    stream = stderr(monkeypatch, terminal=True)
    with progress.bar(8, initial=2, label="steps") as bar:
        assert "2/8" in screen(stream.getvalue())[-1]
        for _ in range(6):
            clock.now += 1
            bar.update()
            shown = screen(stream.getvalue())
            assert f"{bar.done}/8" in shown[-1] and shown[:-1] == []
            assert len(shown[-1]) < 70
    assert screen(stream.getvalue()) == [""]


@pytest.mark.parametrize(
    "error", [ValueError(), KeyboardInterrupt(), NonFiniteLoss(0, [0], torch.ones(1))]
)
@pytest.mark.parametrize("fail_at", [0, 2])
def test_a_loop_that_stops_in_the_middle_takes_its_bar_away(
    clock, monkeypatch, fail_at, error
):
    stream = stderr(monkeypatch, terminal=True)
    with pytest.raises(type(error)):
        train(fail_at, error)
    assert stream.writes and screen(stream.getvalue()) == [""]


def test_a_session_shows_its_steps_and_takes_them_away(clock, monkeypatch):
    stream = stderr(monkeypatch, terminal=True)
    train()
    assert "0/4" in stream.getvalue() and screen(stream.getvalue()) == [""]


def test_a_terminal_is_redrawn_at_most_four_times_a_second_whatever_the_loops(
    clock, monkeypatch
):
    stream = stderr(monkeypatch, terminal=True)
    for _ in range(100):
        with progress.bar(10) as bar:
            for _ in range(10):
                clock.now += 0.01
                bar.update()
    drawn = sum("/10" in part for part in stream.getvalue().split("\r"))
    assert 30 <= drawn <= 41


def test_a_terminal_without_unicode_gets_a_bar_of_plain_characters(clock, monkeypatch):
    class Latin(Stream):
        encoding = "iso-8859-1"

    stream = Latin(terminal=True)
    monkeypatch.setattr("sys.stderr", stream)
    with progress.bar(4) as bar:
        clock.now += 1
        bar.update(2)
    assert "##" in stream.getvalue() and stream.getvalue().isascii()


@pytest.mark.parametrize(("seconds", "lines"), [(19, 0), (21, 1), (119, 5)])
def test_a_pipe_gets_a_line_every_twenty_seconds_and_no_control_characters(
    clock, monkeypatch, seconds, lines
):
    stream = stderr(monkeypatch, terminal=False)
    with progress.bar(seconds) as bar:
        for _ in range(seconds):
            clock.now += 1
            bar.update()
    lines_shown = stream.getvalue().splitlines()
    assert len(lines_shown) == lines and all(
        line.startswith("steps: ") for line in lines_shown
    )
    assert stream.getvalue().replace("\n", "").isprintable()


def test_many_short_loops_into_a_pipe_are_as_calm_as_one(clock, monkeypatch):
    stream = stderr(monkeypatch, terminal=False)
    for _ in range(50):
        with progress.bar(1) as bar:
            clock.now += 1
            bar.update()
    assert len(stream.getvalue().splitlines()) == 2


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_switched_off_by_its_variable(clock, monkeypatch, terminal):
    stream = stderr(monkeypatch, terminal)
    monkeypatch.setenv("WORKBENCH_PROGRESS", "0")
    with progress.bar(100) as bar:
        for _ in range(100):
            clock.now += 10
            bar.update()
    assert stream.writes == 0


class Gone(Stream):
    """Stderr whose reader is no longer there."""

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "EIO"), ValueError()])
def test_a_loop_goes_on_when_nobody_reads_its_bar_any_more(
    clock, monkeypatch, error, terminal
):
    stream = Gone(terminal)
    stream.error = error
    monkeypatch.setattr("sys.stderr", stream)
    with progress.bar(3) as bar:
        for _ in range(3):
            clock.now += 60
            bar.update()
    assert bar.done == 3


@pytest.mark.parametrize("broken", [None, "closed"])
def test_a_process_without_stderr_trains(clock, monkeypatch, broken):
    stream = Stream(terminal=True)
    stream.isatty = io.StringIO.isatty.__get__(stream)
    stream.close()
    monkeypatch.setattr("sys.stderr", None if broken is None else stream)
    train()


@pytest.mark.parametrize("output", [{}, {"metadata": None}, {"metadata": {}}, {
    "metadata": {"workbench": "progress"}}, {"metadata": {"workbench": {"a": True}}}
])  # fmt: skip
def test_only_bars_are_bars(output):
    assert not progress.is_bar(output)
    assert progress.is_bar({"metadata": progress.MARK})


# ---- in a notebook ----------------------------------------------------------------

SETUP = """
import torch
from workbench.core import progress
from workbench.loops.schedule import Schedule
from workbench.loops.session import Session

progress._CELL.every = 0.0  # how fast this machine is must not matter

def train(fail_at=None):
    model = torch.nn.Linear(1, 1)
    model.members = 1
    session = Session(model, Schedule(steps=6, lr=0.1))
    for step in session:
        if step == fail_at:
            raise ValueError("in the middle")
        session.step(model(torch.ones(2, 1)).flatten())
"""
CELLS = {
    "plain": "train()",
    "many": "for _ in range(5):\n    train()",
    "between": "print('before')\ntrain()\nprint('after')",
    "failing": "train(fail_at=3)",
    "interrupted": "import os, signal\n"
    "with progress.bar(5) as bar:\n    bar.update()\n"
    "    os.kill(os.getpid(), signal.SIGINT)\n    import time; time.sleep(60)",
}


class Client(NotebookClient):
    """Executes a notebook as papermill does, or as if somebody sat before it.

    A front end says that a cell may ask its reader for input.
    """

    def __init__(self, notebook, watched: bool):
        self.watched, self.seen = watched, []
        place = {"metadata": {"path": str(ROOT)}}
        super().__init__(
            notebook, kernel_name="python3", allow_errors=True, resources=place
        )

    async def async_start_new_kernel_client(self):
        """A client of the kernel."""
        client = await super().async_start_new_kernel_client()
        client.allow_stdin = self.watched
        return client

    def process_message(self, msg, cell, cell_index):
        """Keep what was displayed for a moment."""
        self.seen.append((cell_index, msg["content"].get("data", {})))
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope="module", params=[True, False], ids=["watched", "unwatched"])
def executed(request):
    """The saved notebook, and what each of its cells displayed on the way."""
    cells = [new_code_cell(code) for code in (SETUP, *CELLS.values())]
    client = Client(new_notebook(cells=cells), watched=request.param)
    quiet = os.environ.pop("WORKBENCH_PROGRESS", None)
    try:
        client.execute()
    finally:
        if quiet is not None:
            os.environ["WORKBENCH_PROGRESS"] = quiet
    saved = nbformat.reads(nbformat.writes(client.nb), as_version=4)
    shown = {
        name: [data["text/plain"] for at, data in client.seen if at == index and data]
        for index, name in enumerate(CELLS, start=1)
    }
    outputs = {
        name: saved.cells[index].outputs for index, name in enumerate(CELLS, start=1)
    }
    return request.param, outputs, shown


@pytest.mark.parametrize("name", CELLS)
def test_a_saved_cell_that_trained_shows_nothing_of_its_bar(executed, name):
    watched, outputs, _ = executed
    bars = [output for output in outputs[name] if progress.is_bar(output)]
    assert len(bars) == (1 if watched else 0)
    assert all(bar.output_type == "display_data" and bar.data == {} for bar in bars)
    rest = [output for output in outputs[name] if not progress.is_bar(output)]
    text = "".join(output.get("text", "") for output in rest)
    assert text == ("before\nafter\n" if name == "between" else "")
    errors = {"failing": ["ValueError"], "interrupted": ["KeyboardInterrupt"]}
    assert [o.ename for o in rest if "ename" in o] == errors.get(name, [])


@pytest.mark.parametrize("name", CELLS)
def test_a_bar_is_shown_only_where_somebody_may_look(executed, name):
    watched, _, shown = executed
    assert bool(shown[name]) == watched
    assert all(text.startswith("steps: ") for text in shown[name])
