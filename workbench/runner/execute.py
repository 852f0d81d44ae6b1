"""The worker: papermill on one notebook, in a process of its own.

`python -m workbench.runner.execute job.json` reads its orders from a file, appends one
JSON line to `job["events"]` when a cell starts and ends and when the kernel says
something, and writes how papermill ended as the last line. It gives no verdict:
`verdict.py` reads the executed copy. It ends with its parent, and its kernel with it.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from workbench.core import ending
from workbench.runner import family, grammar

QUIET_S = 1.0  # output of a kernel is reported at most once per second


class Events:
    """A file of JSON lines that the parent follows.

    Args:
        path: the file; its folder exists.
    """

    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8")
        self._start = time.monotonic()
        self._heard = -QUIET_S

    def send(self, event: str, **fields: Any) -> None:
        """Append one event with the seconds since the worker started."""
        line = {"event": event, "at": time.monotonic() - self._start, **fields}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def printed(self) -> None:
        """The kernel printed or drew something."""
        now = time.monotonic()
        if now - self._heard >= QUIET_S:
            self._heard = now
            self.send("output")


def kernel_config(folder: Path) -> Any:
    """Kernel manager settings: ipc sockets where they exist.

    TCP ports are raced for by kernels that start together, and ipykernel warns about
    them on stderr; ipc has neither problem, but Windows lacks it. The sockets need a
    name of their own: jupyter_client's default is `kernel-ipc-1` in the working
    directory, where two kernels would answer each other's messages.

    Args:
        folder: an empty folder with a short path.
    """
    from traitlets.config import Config

    manager = {
        "connection_file": str(folder / "kernel.json"),
        "client_factory": "workbench.runner.channel.Client",
    }
    if os.name == "posix":
        manager |= {"transport": "ipc", "ip": str(folder / "k")}
    else:
        manager |= {"transport_encryption": "auto"}
    return Config({"KernelManager": manager})


def reporting_engine(events: Events) -> type:
    """A papermill engine that also reports cells and signs of life."""
    from papermill.engines import NBClientEngine

    class ReportingEngine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, **options):
            started, ended = nb_man.cell_start, nb_man.cell_complete

            def cell_start(cell, cell_index=None, **rest):
                events.send("start", cell=cell_index, of=len(nb_man.nb.cells))
                return started(cell, cell_index, **rest)

            def cell_complete(cell, cell_index=None, **rest):
                events.send("end", cell=cell_index)
                return ended(cell, cell_index, **rest)

            nb_man.cell_start, nb_man.cell_complete = cell_start, cell_complete
            # papermill's client calls this at every message of the kernel
            nb_man.autosave_cell = events.printed
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    return ReportingEngine


def execute(job: dict[str, Any]) -> None:
    """Run papermill as the job says.

    Args:
        job: `input`, `output`, `cwd`, `events` (absolute paths; the folder of `events`
            belongs to this job), `parameters` (plain JSON values), `patience` (seconds
            that a kernel may take to start) and `parent` (the runner's process).
    """
    folder = Path(job["events"]).parent
    events = Events(Path(job["events"]))
    ending.die_with_parent(job["parent"], lambda: family.end(folder, keep=os.getpid()))
    events.send("boot")
    grammar.leave_out()
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.engines import papermill_engines
    from papermill.exceptions import PapermillExecutionError

    from workbench.runner import forked

    forked.install()
    papermill_engines.register("workbench", reporting_engine(events))
    ended, message = "finished", ""
    try:
        papermill.execute_notebook(
            # papermill formats paths as templates.
            job["input"].replace("{", "{{").replace("}", "}}"),
            job["output"].replace("{", "{{").replace("}", "}}"),
            parameters=job["parameters"],
            engine_name="workbench",
            kernel_name="python3",
            progress_bar=False,
            cwd=job["cwd"],
            autosave_cell_every=0,
            start_timeout=max(60, round(job["patience"])),
            config=kernel_config(folder),
        )
    except PapermillExecutionError:
        # Intended errors end here too; the verdict looks at the outputs.
        ended = "cell error"
    except DeadKernelError as error:
        ended, message = "dead kernel", str(error)
    except Exception as error:
        ended, message = "engine", f"{type(error).__name__}: {error}"
    events.send("done", ended=ended, message=message, cpu=_cpu_seconds())
    if os.getppid() != job["parent"]:  # nobody is there to read that
        family.end(folder, keep=os.getpid())


def _cpu_seconds() -> float | None:
    """Processor time of the kernel and whatever it started; None on Windows."""
    from workbench.runner import forked

    try:
        import resource
    except ImportError:
        return None
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime + forked.cpu_seconds()


if __name__ == "__main__":
    execute(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
