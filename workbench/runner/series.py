"""Execute the series: two notebooks at a time, each in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.runner import build, verdict
from workbench.runner.report import Progress, write_junit, write_seconds
from workbench.runner.stamp import cache_key
from workbench.runner.verdict import Failure

# Kernel start and imports on a machine that is busy with something else.
START_S = 30.0
HARD_LIMIT = 3.0
POLL_S = 0.2


@dataclass(frozen=True)
class Settings:
    """How to execute.

    Attributes:
        root: the project folder; its `workbench/` and `data/` enter the cache key.
        profile: "ci", "lecture" or "figure".
        build: folder of executed copies; default `root/build/PROFILE`.
        device: injected as DEVICE where a notebook declares it; None injects nothing.
        seed: injected as SEED where a notebook declares it; None injects nothing.
        parameters: further parameters, each of which every notebook must declare.
        force: execute even what is unchanged.
        slow: factor on every declared budget, for a slow machine.
        grace: the worker is stopped at `budget * slow * grace + start` seconds.
        start: seconds added to that limit.
    """

    root: Path
    profile: str = "lecture"
    build: Path | None = None
    device: str | None = None
    seed: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    force: bool = False
    slow: float = 1.0
    grace: float = HARD_LIMIT
    start: float = START_S

    @property
    def folder(self) -> Path:
        """Where the executed copies stand."""
        return (self.build or self.root / "build" / self.profile).resolve()


@dataclass(frozen=True)
class Result:
    """The outcome of one notebook.

    Attributes:
        name: such as `20_dpo`.
        profile: the profile it ran at.
        executed: the executed copy, partial if the notebook failed.
        failures: empty if it passed.
        seconds: wall-clock seconds of the execution (an earlier one if cached).
        cell_seconds: seconds of each executed cell, prose included (as zero).
        cached: the executed copy of an earlier call was still valid.
    """

    name: str
    profile: str
    executed: Path
    failures: tuple[Failure, ...]
    seconds: float
    cell_seconds: tuple[float, ...]
    cached: bool = False

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


def find_root(start: Path | None = None) -> Path:
    """The project folder: the nearest one upwards that has `notebooks/src`.

    Args:
        start: where to look from; default the working directory, then the package.

    Raises:
        FileNotFoundError: there is none.
    """
    places = [start or Path.cwd(), Path(__file__)]
    for place in places:
        for folder in (place.resolve(), *place.resolve().parents):
            if (folder / "notebooks" / "src").is_dir():
                return folder
    raise FileNotFoundError(
        "no notebooks/src here or above: run this inside a clone of workbench"
    )


def sources(root: Path) -> list[Path]:
    """All numbered sources, in order."""
    return sorted((root / "notebooks" / "src").glob("[0-9][0-9]_*.py"))


def select(root: Path, wanted: Sequence[str]) -> list[Path]:
    """The sources that a user names: `20`, `20_dpo`, or a path to either form.

    Args:
        root: the project folder.
        wanted: names; none means all.

    Raises:
        FileNotFoundError: a name that fits no notebook.
    """
    every = sources(root)
    if not wanted:
        return every
    found: list[Path] = []
    for name in wanted:
        stem = Path(name).stem
        fits = [p for p in every if p.stem == stem] or [
            p for p in every if p.stem.startswith(stem)
        ]
        if not fits:
            known = ", ".join(p.stem for p in every) or "none at all"
            raise FileNotFoundError(f"no notebook {name!r}; there are {known}")
        found += [path for path in fits if path not in found]
    return found


def run_one(path: Path, settings: Settings) -> Result:
    """Execute one notebook and judge it. See `run`."""
    return run([path], settings, jobs=1)[0]


def run(
    paths: Iterable[Path],
    settings: Settings,
    jobs: int = 2,
    progress: Progress | None = None,
    on_failure: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Execute notebooks, several at a time, and judge each.

    A failing notebook leaves its partly executed copy and does not stop the others.

    Args:
        paths: py:percent sources.
        settings: how to execute.
        jobs: notebooks at a time.
        progress: shows what is going on.
        on_failure: called with each failing result as it comes.

    Returns:
        Results in the order of `paths`.
    """
    read = [build.read(path) for path in paths]
    waiting = list(read)
    running: list[_Worker] = []
    results: dict[str, Result] = {}

    def finish(result: Result) -> None:
        results[result.name] = result
        if progress:
            progress.ended(result)
        if on_failure and not result.passed:
            on_failure(result)

    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                source = waiting.pop(0)
                result = None if settings.force else _cached(source, settings)
                if result:
                    finish(result)
                else:
                    running.append(_Worker(source, settings))
            for worker in list(running):
                if worker.has_ended():
                    running.remove(worker)
                    finish(worker.result())
            if progress and running:
                rows = [worker.row() for worker in running]
                rest = [row[4] for row in rows]
                rest += [_expected(source, settings) for source in waiting]
                left = max(max(rest), sum(rest) / min(jobs, len(rest)))
                progress.running(rows, left)
            if running:
                time.sleep(POLL_S)
    finally:
        for worker in running:
            worker.stop()
            worker.discard()
    return [results[source.name] for source in read]


def write_reports(results: Sequence[Result], settings: Settings) -> None:
    """Write junit.xml and seconds.csv beside the executed copies."""
    write_junit(results, settings.folder / "junit.xml")
    write_seconds(results, settings.folder / "seconds.csv")


def parameters(source: build.Source, settings: Settings) -> dict[str, Any]:
    """Plain JSON values to inject into a notebook."""
    out = os.path.relpath(settings.folder / source.name, source.folder)
    offered: dict[str, Any] = {"PROFILE": settings.profile, "OUT": out}
    if settings.device is not None:
        offered["DEVICE"] = settings.device
    if settings.seed is not None:
        offered["SEED"] = settings.seed
    known = {k: v for k, v in offered.items() if k in source.parameters}
    return known | settings.parameters


class _Worker:
    """A worker process and what is known about it."""

    def __init__(self, source: build.Source, settings: Settings):
        self._source, self._settings = source, settings
        self._parameters = parameters(source, settings)
        self._expected = _expected(source, settings)
        self._budget = source.budget_s[settings.profile] * settings.slow
        self._limit = self._budget * settings.grace + settings.start
        self._events_read: list[dict[str, Any]] = []
        self._timed_out = False
        self._jobs = Path(tempfile.mkdtemp(prefix="wb-", dir=_short_tmp()))
        for folder in (settings.folder / source.name, _record(source, settings).parent):
            folder.mkdir(parents=True, exist_ok=True)
        _clear(settings.folder / source.name)
        _record(source, settings).unlink(missing_ok=True)
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
        _remember(source, settings, result)
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


def _record(source: build.Source, settings: Settings) -> Path:
    return settings.folder / ".records" / f"{source.name}.json"


def _key(source: build.Source, settings: Settings) -> str:
    injected = parameters(source, settings)
    return cache_key(source.notebook, settings.root.resolve(), injected)


def _remember(source: build.Source, settings: Settings, result: Result) -> None:
    record = {
        "key": _key(source, settings),
        "seconds": result.seconds,
        "cell_seconds": result.cell_seconds,
        "failures": [asdict(failure) for failure in result.failures],
    }
    path = _record(source, settings)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record), encoding="utf-8")
    partial.replace(path)
    history = settings.folder / ".records" / f"{source.name}.seconds"
    history.write_text(f"{result.seconds:.3f}\n", encoding="utf-8")


def _cached(source: build.Source, settings: Settings) -> Result | None:
    """The earlier result, if the notebook passed then and nothing changed since."""
    path = _record(source, settings)
    executed = settings.folder / f"{source.name}.ipynb"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        old = build.load(executed)
    except (OSError, ValueError):
        return None
    if record["failures"] or record["key"] != _key(source, settings):
        return None
    # Prose may have changed without the code.
    notebook = build.carry_outputs(source.notebook, old)
    if notebook is None:
        return None
    if old.metadata.get("workbench") != source.notebook.metadata["workbench"]:
        build.write(notebook, executed)
    return Result(
        name=source.name,
        profile=settings.profile,
        executed=executed,
        failures=(),
        seconds=record["seconds"],
        cell_seconds=tuple(record["cell_seconds"]),
        cached=True,
    )


def _expected(source: build.Source, settings: Settings) -> float:
    """Seconds the notebook took last time, or half its budget."""
    history = settings.folder / ".records" / f"{source.name}.seconds"
    try:
        return float(history.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.5 * source.budget_s[settings.profile] * settings.slow
