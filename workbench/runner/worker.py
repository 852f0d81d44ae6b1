"""One notebook in a process of its own: started, watched, judged."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from workbench.core import notes
from workbench.runner import (
    build,
    estimate,
    family,
    kernel,
    nursery,
    speed,
    verdict,
)
from workbench.runner.cache import expected, record_of, remember
from workbench.runner.job import Result, Settings, parameters

LOOK_S = 2.0  # between looks at the memory, which cost some milliseconds each


class Worker:
    """A worker process and what is known about it."""

    def __init__(self, source: build.Source, settings: Settings):
        self.source, self._settings = source, settings
        self._parameters = parameters(source, settings)
        self.guess = expected(source, settings)
        self._events_read: list[dict[str, Any]] = []
        self._stopped: tuple[str, str] | None = None
        self._looked = time.monotonic()
        self._jobs = Path(tempfile.mkdtemp(prefix="wb-", dir=_short_tmp()))
        out = settings.folder / source.name
        out.mkdir(parents=True, exist_ok=True)
        _clear(out)
        record_of(source, settings).unlink(missing_ok=True)
        self._output = self._jobs / "out.ipynb"
        self._events = self._jobs / "events.jsonl"
        self._process = self._launch()
        self._start = time.monotonic()

    def _launch(self) -> subprocess.Popen:
        build.write(self.source.notebook, self._jobs / "in.ipynb")
        kernel.prepare(self._jobs / "ipython")
        job = {
            "input": str(self._jobs / "in.ipynb"),
            "output": str(self._output),
            "events": str(self._events),
            "cwd": str(self.source.folder),
            "parameters": self._parameters,
            "patience": self._patience(),
            "parent": os.getpid(),
        }
        (self._jobs / "job.json").write_text(json.dumps(job), encoding="utf-8")
        self._log = (self._jobs / "worker.log").open("w")
        return subprocess.Popen(
            [sys.executable, "-m", "workbench.runner.execute"]
            + [str(self._jobs / "job.json")],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=self._environment(),
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str]:
        """The environment of the worker and its kernel."""
        jobs, common = self._jobs, _environment(self._settings.root)
        own = {
            family.MARK: str(jobs),
            notes.FILE: str(jobs / "notes.jsonl"),
            # Sockets, history and kernels of this run only; a kernel named python3 in
            # the user's home may belong to another environment.
            "JUPYTER_RUNTIME_DIR": str(jobs / "r"),
            "IPYTHONDIR": str(jobs / "ipython"),
        }
        # a fork of a process cannot use a GPU that the process has looked at
        if self._settings.device in (None, "cpu"):
            address = nursery.address_of(common, _short_tmp())
            own |= {nursery.ADDRESS: address} if address else {}
        return common | own

    def has_ended(self) -> bool:
        """Whether the process is gone; stops it when it is stuck or too large."""
        if self._process.poll() is None:
            self._stopped = self._stuck() or self._too_large()
            if self._stopped:
                self.stop()
        return self._process.poll() is not None

    def left(self, stretch: float) -> float:
        """Seconds that it will still take.

        Args:
            stretch: of the guess; see `estimate.Stretch`.
        """
        cell, cells = self.cell()
        return estimate.left(self.guess * stretch, self.spent(), (cell - 1) / cells)

    def cell(self) -> tuple[int, int]:
        """The cell that runs, from 1, and the number of cells."""
        starts = [e for e in self._read_events() if e["event"] == "start"]
        cells = max(1, len(self.source.notebook.cells))
        return (min(starts[-1]["cell"] + 1, cells) if starts else 1), cells

    def spent(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._start

    def stop(self) -> None:
        """End the worker, its kernel and whatever they started."""
        family.kill(self._jobs)
        self._process.wait()

    def result(self) -> Result:
        """Collect, judge, store, clean up."""
        seconds = self.spent()
        family.kill(self._jobs)  # what a notebook left running
        source, settings = self.source, self._settings
        events = self._read_events()
        ended, message, cpu = self._ending(events)
        executed = settings.folder / f"{source.name}.ipynb"
        notebook = _collect(self._output, source)
        build.write(notebook, executed)
        failures = verdict.judge(
            notebook,
            declared=source.parameters,
            passed=self._parameters,
            size=executed.stat().st_size,
            stderr_allow=source.stderr_allow,
            ended=ended,
            message=message,
            at=next((e["cell"] for e in events[::-1] if e["event"] == "start"), None),
        )
        if settings.enforce and ended != "stuck":
            failures += verdict.over_budget(
                source.budget_s[settings.profile] * settings.speed.cpu,
                seconds if cpu is None else cpu,
            )
        messages = notes.read(self._jobs / "notes.jsonl") + verdict.foreign(notebook)
        result = Result(
            name=source.name,
            profile=settings.profile,
            executed=executed,
            failures=tuple(failures),
            seconds=seconds,
            cell_seconds=_cell_seconds(events, len(notebook.cells)),
            cpu_seconds=cpu,
            notes=tuple(dict.fromkeys(messages)),
        )
        remember(source, settings, result)
        return result

    def discard(self) -> None:
        """Remove the worker's folder."""
        self._log.close()
        shutil.rmtree(self._jobs, ignore_errors=True)

    def _patience(self) -> float:
        """Seconds of silence that are still no sign of being stuck."""
        settings = self._settings
        budget = self.source.budget_s[settings.profile]
        slow = max(1.0, settings.speed.wall)
        return slow * (settings.patience * budget + settings.start)

    def _stuck(self) -> tuple[str, str] | None:
        """Why the kernel is stopped: it showed no sign of life for too long."""
        try:
            quiet = time.time() - self._events.stat().st_mtime
        except OSError:
            quiet = self.spent()
        if quiet <= self._patience():
            return None
        # Perhaps the machine is slower now than it was at the start.
        now = speed.measure()
        if quiet <= self._patience() * now.wall / max(1.0, self._settings.speed.wall):
            return None
        return "stuck", f"nothing printed, drawn or finished for {quiet:.0f} s"

    def _too_large(self) -> tuple[str, str] | None:
        if time.monotonic() - self._looked < LOOK_S:
            return None
        self._looked = time.monotonic()
        used, most = family.memory(self._jobs) / 1e9, self._settings.memory_gb
        if used <= most:
            return None
        return "memory", f"its processes held {used:.1f} GB, at most {most:g}"

    def _ending(self, events: list[dict[str, Any]]) -> tuple[str, str, float | None]:
        """How it ended, in one word and in a sentence, and processor seconds."""
        done = next((e for e in events if e["event"] == "done"), None)
        if self._stopped:
            return (*self._stopped, None)
        if done is None:
            return "engine", f"the worker died\n{self._log_text()}", None
        return done["ended"], done["message"], done["cpu"]

    def _read_events(self) -> list[dict[str, Any]]:
        if self._events.exists():
            lines = self._events.read_text(encoding="utf-8").split("\n")[:-1]
            self._events_read = [json.loads(line) for line in lines]
        return self._events_read

    def _log_text(self) -> str:
        self._log.flush()
        return (self._jobs / "worker.log").read_text(errors="replace")[-4000:]


def _environment(root: Path) -> dict[str, str]:
    """What every worker and kernel is told: one thread, no network, no bars."""
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(
            [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
        "WORKBENCH_PROGRESS": "0",
        "WORKBENCH_RUNNER": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_PLATFORM_DIRS": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def _short_tmp() -> str | None:
    """A folder with a short name: a Unix socket has about 100 characters of path."""
    return "/tmp" if os.name == "posix" and os.access("/tmp", os.W_OK) else None


def _collect(output: Path, source: build.Source) -> Any:
    """The executed copy without papermill's banners; unexecuted if there is none."""
    try:
        notebook = build.load(output)
    except (OSError, build.BrokenNotebook):
        return source.notebook
    notebook.cells = [
        cell
        for cell in notebook.cells
        if "papermill-error-cell-tag" not in verdict.tags(cell)
    ]
    return notebook


def _cell_seconds(events: list[dict[str, Any]], cells: int) -> tuple[float, ...]:
    seconds, started = [0.0] * cells, {}
    for event in events:
        if event["event"] == "start":
            started[event["cell"]] = event["at"]
        elif event["event"] == "end" and event["cell"] in started:
            if event["cell"] < cells:
                seconds[event["cell"]] = event["at"] - started[event["cell"]]
    return tuple(seconds)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
