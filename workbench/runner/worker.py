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

from workbench.runner import build, verdict
from workbench.runner.cache import expected, record_of, remember
from workbench.runner.job import Result, Settings, parameters


class Worker:
    """A worker process and what is known about it."""

    def __init__(self, source: build.Source, settings: Settings):
        self._source, self._settings = source, settings
        self._parameters = parameters(source, settings)
        self._expected = expected(source, settings)
        self._budget = source.budget_s[settings.profile] * settings.slow
        self._limit = self._budget * settings.grace + settings.start
        self._events_read: list[dict[str, Any]] = []
        self._timed_out = False
        self._jobs = Path(tempfile.mkdtemp(prefix="wb-", dir=_short_tmp()))
        for folder in (
            settings.folder / source.name,
            record_of(source, settings).parent,
        ):
            folder.mkdir(parents=True, exist_ok=True)
        _clear(settings.folder / source.name)
        record_of(source, settings).unlink(missing_ok=True)
        self._input, self._output = self._jobs / "in.ipynb", self._jobs / "out.ipynb"
        self._events = self._jobs / "events.jsonl"
        build.write(source.notebook, self._input)
        job = {
            "input": str(self._input),
            "output": str(self._output),
            "events": str(self._events),
            "cwd": str(source.folder),
            "parameters": self._parameters,
        }
        (self._jobs / "job.json").write_text(json.dumps(job), encoding="utf-8")
        self._log = (self._jobs / "worker.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workbench.runner.execute"]
            + [str(self._jobs / "job.json")],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=_environment(self._jobs, settings.root),
            start_new_session=True,
        )
        self._start = time.monotonic()

    def has_ended(self) -> bool:
        """Whether the process is gone; stops it when its hard limit has passed."""
        if self._process.poll() is None and self._spent() > self._limit:
            self._timed_out = True
            self.stop()
        return self._process.poll() is not None

    def row(self) -> tuple[str, int, int, float, float]:
        """Name, cell, cells, seconds spent, seconds left."""
        starts = [e for e in self._read_events() if e["event"] == "start"]
        cells = len(self._source.notebook.cells)
        cell = min(starts[-1]["cell"] + 1, cells) if starts else 0
        rest = max(self._expected - self._spent(), 1.0)
        return self._source.name, cell, cells, self._spent(), rest

    def stop(self) -> None:
        """End the worker and its kernel, which lives in a session of its own."""
        import psutil

        try:
            parent = psutil.Process(self._process.pid)
            family = [*parent.children(recursive=True), parent]
        except psutil.NoSuchProcess:
            family = []
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        psutil.wait_procs(family, timeout=5)
        self._process.wait()

    def result(self) -> Result:
        """Collect, judge, store, clean up."""
        seconds = self._spent()
        source, settings = self._source, self._settings
        events = self._read_events()
        done = next((e for e in events if e["event"] == "done"), None)
        if self._timed_out:
            ended = "timeout"
            message = f"stopped after {seconds:.0f} s, declared {self._budget:g} s"
        elif done is None:
            ended, message = "engine", f"the worker died\n{self._log_text()}"
        else:
            ended, message = done["ended"], done["message"]
        executed = settings.folder / f"{source.name}.ipynb"
        notebook = _collect(self._output, source)
        build.write(notebook, executed)
        failures = verdict.judge(
            notebook,
            declared=source.parameters,
            passed=self._parameters,
            budget_s=self._budget,
            seconds=seconds,
            size=executed.stat().st_size,
            stderr_allow=source.stderr_allow,
            ended=ended,
            message=message,
            at=next((e["cell"] for e in events[::-1] if e["event"] == "start"), None),
        )
        result = Result(
            name=source.name,
            profile=settings.profile,
            executed=executed,
            failures=tuple(failures),
            seconds=seconds,
            cell_seconds=_cell_seconds(events, len(notebook.cells)),
        )
        remember(source, settings, result)
        self.discard()
        return result

    def discard(self) -> None:
        """Remove the worker's folder."""
        self._log.close()
        shutil.rmtree(self._jobs, ignore_errors=True)

    def _spent(self) -> float:
        return time.monotonic() - self._start

    def _read_events(self) -> list[dict[str, Any]]:
        if self._events.exists():
            lines = self._events.read_text(encoding="utf-8").split("\n")[:-1]
            self._events_read = [json.loads(line) for line in lines]
        return self._events_read

    def _log_text(self) -> str:
        self._log.flush()
        return (self._jobs / "worker.log").read_text(errors="replace")[-4000:]


def _environment(jobs: Path, root: Path) -> dict[str, str]:
    """The environment of a worker and its kernel: one thread, no network, no bars."""
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
        # Sockets, history and kernels of this run only; a kernel named python3 in the
        # user's home may belong to another environment.
        "JUPYTER_RUNTIME_DIR": str(jobs / "r"),
        "IPYTHONDIR": str(jobs / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_PLATFORM_DIRS": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def _short_tmp() -> str | None:
    """A folder with a short name: a Unix socket has about 100 characters of path."""
    return "/tmp" if os.name == "posix" and os.access("/tmp", os.W_OK) else None


def _collect(output: Path, source: build.Source) -> Any:
    """The executed copy without papermill's banners; unexecuted if there is none."""
    import nbformat

    try:
        notebook = build.load(output)
    except (OSError, ValueError, nbformat.ValidationError):
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
        shutil.rmtree(path) if path.is_dir() else path.unlink()
