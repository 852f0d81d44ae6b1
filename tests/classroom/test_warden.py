"""A submission is held to its limits, and nothing of it is left."""

import sys
import tempfile

import psutil
import pytest

from workbench.classroom import warden
from workbench.classroom.warden import Limits, run

# forks twice, leaves its session and forgets its environment: no mark, no group
HIDDEN = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", "986.54321"], {})
    os._exit(0)
os.wait()
import time
time.sleep(0.5)"""
ANSWER = "from workbench import teach\nteach.answer('20-4', {})"


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """Where the folders of jobs are made; it is empty again after each test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == []


def ran(*sources, **limits):
    cells = [{"cell": n, "source": text} for n, text in enumerate(sources)]
    return run(cells, Limits(**limits))


def values(done):
    return [event["value"] for event in done.events if event["event"] == "answer"]


def test_an_endless_loop_is_stopped():
    done = ran("while True: pass", seconds=3)
    assert done.ended == "stopped after 3 seconds"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands over orphans")
def test_a_process_that_hides_ends_with_its_submission():
    done = ran(HIDDEN, ANSWER.format("'none'"))
    assert values(done) == ["none"] and done.ended == ""
    hidden = [p for p in psutil.process_iter() if "986.54321" in _line(p)]
    assert not hidden


def _line(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_the_environment_of_the_grader_is_not_handed_on(monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_GRADER", "1")
    told = "str((os.environ.get('SECRET_OF_THE_GRADER'), os.environ['HOME'][-3:]))"
    seen = "import os\n" + ANSWER.format(told)
    assert values(ran(seen)) == ["(None, 'run')"]


def test_values_are_plain(monkeypatch):
    """Numbers, lists and texts come over; anything else says what it is."""
    wanted = "import torch\n" + "\n".join(
        ANSWER.format(text)
        for text in ("1", "torch.tensor(2.5)", "[1, 2]", "'x' * 5000", "None")
    )
    found = values(ran(wanted))
    assert found == [1.0, 2.5, [1.0, 2.0], "x" * 1000, None]


def test_a_record_that_a_notebook_wrote_into_breaks_nothing(tmp_path):
    lines = ["{", "[1]", '{"event": 3}', '{"event": "answer"}', "[" * 100_000,
             '{"event": "start", "cell": 4}', "\x00"]  # fmt: skip
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(lines))
    assert list(warden._events(path)) == [{"event": "start", "cell": 4}]
    assert list(warden._events(tmp_path / "none")) == []
    path.unlink()
