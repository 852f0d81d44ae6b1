"""The process of one submission: `python -m workbench.classroom.sandbox job.json`.

It holds itself to the limits of the job, runs the cells one after another without a
kernel, goes on after a cell that raises, and appends one JSON line per event to the
job's file. It gives no points: `marks.py` does, in the grader's own process.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from workbench.runner.kernel import end_with_parent

LARGEST_FILE = 512 * 2**20  # bytes of any file that a notebook writes


def limit(seconds: int, memory: int) -> None:
    """Hold this process and its children to limits of the operating system.

    Args:
        seconds: of the processor.
        memory: bytes that a process may allocate; macOS does not enforce this, and the
            warden's look at the memory has to do.
    """
    try:
        import resource
    except ImportError:  # Windows has none: the warden's clock and look remain
        return
    wanted = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_FSIZE: LARGEST_FILE,
        resource.RLIMIT_CORE: 0,
    }
    for which, most in wanted.items():
        _, hard = resource.getrlimit(which)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        try:
            resource.setrlimit(which, (most, most))
        except (ValueError, OSError):
            continue


class Lines:
    """A file of JSON lines."""

    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8")

    def send(self, line: dict[str, Any]) -> None:
        """Append one line."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def run(job: dict[str, Any]) -> None:
    """Run the cells of a job.

    Args:
        job: `cells`, a list of {"cell": number, "source": text}; `events`, the file to
            append to; `seconds` and `memory`, its limits.
    """
    end_with_parent()
    limit(job["seconds"], job["memory"])
    lines = Lines(Path(job["events"]))
    import workbench.lesson  # noqa: F401 - what a lesson begins with, before the guard
    from workbench.classroom.recorder import Recorder

    recorder, shell = Recorder(lines.send), _shell()
    _silence()
    for cell in job["cells"]:
        lines.send({"event": "start", "cell": cell["cell"]})
        done = shell.run_cell(cell["source"], store_history=False)
        error = done.error_before_exec or done.error_in_exec
        if error is not None:
            words = f"{type(error).__name__}: {_words(error)}"
            lines.send({"event": "error", "cell": cell["cell"], "message": words})
        recorder.after(cell["cell"])
    lines.send({"event": "done"})


def _words(error: BaseException) -> str:
    """The first line of an error; the class is the student's and may break, too."""
    try:
        return (str(error).splitlines() or [""])[0][:200]
    except Exception:
        return "(no message)"


def _shell() -> Any:
    """IPython without a kernel, a history and colours."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    return InteractiveShell.instance(config=config)


def _silence() -> None:
    """What a notebook prints is not read, and must not fill a disk."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
