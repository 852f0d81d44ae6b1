"""Runs one submission in processes of its own, within limits, and leaves none behind.

What is defended. The outputs of the submitted file are thrown away, so what it shows
or prints counts for nothing. An answer is compared in the grader's process, from the
value that was passed; a printed or edited verdict never gets there. A function that was
passed to a check is examined again after its cell, with every name of the library put
back that a cell had rebound. A notebook that defines its own `teach`, or replaces
`teach.answer`, is heard where it calls the real one and nowhere else. One submission
reaches no file, row or process of another through what the grader hands it.

What is not defended. A submission is a program that runs with the rights of the person
who grades. It may read what that person can read (the right answers lie in the package,
where a student finds them too), write files, use the network, call a loss of the
library from inside a function of its own, copy the work of others, guess an answer in a
loop (the number of tries is told), or, if it is written for nothing else, search the
memory of its process and write the grader's record itself. Limits and rows hold; points
do not, against that. **Grade strangers' notebooks as a user who owns nothing, in a
container without a network**, and read the code of whoever surprises you.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.runner import family

LOOK_S = 0.2  # between looks at the clock
MEMORY_S = 1.0  # between looks at the memory, which cost some milliseconds each
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV")
MOST_EVENTS = 32 * 2**20  # bytes of the record that are read


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes:
        seconds: of the clock, the start of Python included.
        memory: bytes, all its processes together.
    """

    seconds: float | int = 300
    memory: int = 4 * 2**30


@dataclass(frozen=True)
class Outcome:
    """What a submission did.

    Attributes:
        events: as the sandbox noted them.
        ended: why it did not run to its end; empty if it did.
        at: the number of the last cell that was started, None if none was.
    """

    events: tuple[dict[str, Any], ...] = field(default=())
    ended: str = ""
    at: int | None = None


def run(cells: Sequence[dict[str, Any]], limits: Limits) -> Outcome:
    """Run the cells of a submission.

    Args:
        cells: {"cell": number, "source": text} of each code cell, in order.
        limits: what it may use.

    Returns:
        What it did, whatever that was; only an interrupt of the grader raises.
    """
    folder = Path(tempfile.mkdtemp(prefix="wb-grade-"))
    try:
        with _no_orphans():
            process = _start(folder, cells, limits)
            try:
                why = _watch(process, folder, limits)
            finally:
                _kill(process, folder)
        return _outcome(folder, why, process.returncode)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, cells: Sequence[dict], limits: Limits) -> subprocess.Popen:
    (folder / "run").mkdir()
    job = {
        "cells": list(cells),
        "events": str(folder / "events.jsonl"),
        "seconds": int(limits.seconds) + 10,
        "memory": limits.memory,
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "workbench.classroom.sandbox"]
            + [str(folder / "job.json")],
            cwd=folder / "run",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(folder),
            start_new_session=True,
        )


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the grader's own: no home, no keys, no settings."""
    package = Path(__file__).resolve().parents[2]
    path = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {
        "HOME": str(folder / "run"),
        "TMPDIR": str(folder / "run"),
        "IPYTHONDIR": str(folder / "ipython"),
        "MPLCONFIGDIR": str(folder / "mpl"),
        "MPLBACKEND": "Agg",
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONHASHSEED": "0",
        "WORKBENCH_PROGRESS": "0",
        "WORKBENCH_RUNNER": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        family.MARK: str(folder),
    }
    own |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    return {name: os.environ[name] for name in KEPT if name in os.environ} | own


def _watch(process: subprocess.Popen, folder: Path, limits: Limits) -> str:
    """Wait for the end; returns why it was not waited for any longer."""
    start = looked = time.monotonic()
    while process.poll() is None:
        now = time.monotonic()
        if now - start > limits.seconds:
            return f"stopped after {limits.seconds:g} seconds"
        if now - looked > MEMORY_S:
            looked = now
            used = family.memory(folder)
            if used > limits.memory:
                return f"stopped at {used / 2**30:.1f} GiB of memory"
        time.sleep(LOOK_S)
    return ""


def _kill(process: subprocess.Popen, folder: Path) -> None:
    """End the process, its group, and whatever carries the job's mark."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    family.kill(folder)
    process.wait()


@contextmanager
def _no_orphans() -> Iterator[None]:
    """On Linux a process that hides from its group and its mark is ours to end, too.

    Whoever forks twice and clears its environment is handed to the nearest ancestor
    that asked for orphans: that is this process, for as long as a submission runs.
    """
    import psutil

    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    adopted = _adopt(True)
    try:
        yield
    finally:
        if adopted:
            for _ in range(5):
                late = [c for c in me.children(recursive=True) if c.pid not in before]
                for child in late:
                    try:
                        child.kill()
                        child.wait(5)
                    except psutil.Error:
                        continue
                if not late:
                    break
            _adopt(False)


def _adopt(wanted: bool) -> bool:
    """Ask Linux for orphans; elsewhere there is no such thing."""
    if sys.platform != "linux":
        return False
    import ctypes

    set_child_subreaper = 36
    return ctypes.CDLL(None).prctl(set_child_subreaper, int(wanted)) == 0


def _outcome(folder: Path, why: str, status: int | None) -> Outcome:
    events = list(_events(folder / "events.jsonl"))
    starts = [event["cell"] for event in events if event["event"] == "start"]
    done = bool(events) and events[-1]["event"] == "done"
    if not why and not done:
        why = _death(status, folder / "log")
    return Outcome(tuple(events), why, starts[-1] if starts else None)


def _death(status: int | None, log: Path) -> str:
    if status is not None and status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = str(-status)
        return f"its process was ended by {name}"
    lines = log.read_text(errors="replace").strip().splitlines() if status else []
    return "its process ended early" + (f" ({lines[-1][:200]})" if lines else "")


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """The lines that are what the sandbox writes; anything else is passed over."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_EVENTS)
    except OSError:
        return
    for line in data.split(b"\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            continue
        if event["event"] == "done" or isinstance(event.get("cell"), int):
            yield event
