"""Execute the series: two notebooks at a time, each in a process of its own."""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from workbench.core.suggest import suggest
from workbench.runner import build, estimate, nursery
from workbench.runner.cache import cached, expected
from workbench.runner.job import Result, Settings
from workbench.runner.report import Progress, write_junit, write_seconds
from workbench.runner.verdict import Failure
from workbench.runner.worker import Worker

POLL_S = 0.2
NUMBERED = re.compile(r"(\d\d)([a-z]?)_(\w+)")


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
    """All numbered sources, in order: `20_dpo`, and studies such as `22a_bco`."""
    found = (root / "notebooks" / "src").glob("*.py")
    return sorted(path for path in found if NUMBERED.fullmatch(path.stem))


def select(root: Path, wanted: Sequence[str]) -> list[Path]:
    """The sources that a user names.

    Args:
        root: the project folder.
        wanted: names; none means all. A name is a number (`2` and `02` are the same
            lesson), a range of numbers (`20-29`), a whole name (`20_dpo`), the part
            behind the number (`dpo`), a path to either form of a notebook, or the
            beginning of exactly one of these.

    Raises:
        FileNotFoundError: a name that fits no notebook, or more than one.
    """
    every = sources(root)
    found = [path for name in wanted for path in _named(name, every)]
    return list(dict.fromkeys(found)) if wanted else every


def _named(name: str, every: list[Path]) -> list[Path]:
    stem = Path(name).stem or "?"
    parts = {path: NUMBERED.fullmatch(path.stem) for path in every}
    if span := re.fullmatch(r"(\d+)-(\d+)", stem):
        low, high = map(int, span.groups())
        fits = [p for p, m in parts.items() if low <= int(m[1]) <= high]
        if fits:
            return fits
    number = stem.zfill(2) if stem.isdigit() else stem
    exact = [
        path for path, m in parts.items() if number in (path.stem, m[1] + m[2], m[3])
    ]
    if exact:
        return exact
    begins = [p for p, m in parts.items() if p.stem.startswith(stem) and "_" in stem]
    begins += [p for p, m in parts.items() if m[3].startswith(stem)]
    if len(begins) == 1:
        return begins
    if begins:
        several = ", ".join(path.stem for path in begins)
        raise FileNotFoundError(f"{name!r} may be {several}: name one of them")
    known = ", ".join(path.stem for path in every) or "none at all"
    names = [path.stem for path in every] + [m[3] for m in parts.values()]
    guess = suggest(stem, names)
    raise FileNotFoundError(
        f"no notebook {name!r}{guess}"
        if guess
        else f"no notebook {name!r}; there are {known}"
    )


def run_one(path: Path, settings: Settings) -> Result:
    """Execute one notebook and judge it. See `run`."""
    return run([path], settings, jobs=1)[0]


def run(
    paths: Iterable[Path],
    settings: Settings,
    jobs: int = 2,
    progress: Progress | None = None,
    on_result: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Execute notebooks, several at a time, and judge each.

    A failing notebook leaves its partly executed copy and does not stop the others.
    Whatever ends this function, a signal among it, the processes end with it.

    Args:
        paths: py:percent sources.
        settings: how to execute.
        jobs: notebooks at a time.
        progress: shows what is going on.
        on_result: called with each result as it comes.

    Returns:
        Results in the order of `paths`.
    """
    read = [build.read(path) for path in paths]
    series = _Series(settings, jobs, progress, on_result)
    try:
        series.run(read)
    finally:
        series.stop()
    return [series.results[source.name] for source in read]


class _Series:
    """The notebooks that wait, run and have ended."""

    def __init__(self, settings, jobs, progress, on_result):
        self._settings, self._jobs = settings, jobs
        self._progress, self._on_result = progress, on_result
        self._running: list[Worker] = []
        self._stretch = estimate.Stretch()
        self.results: dict[str, Result] = {}

    def run(self, sources: list[build.Source]) -> None:
        """Go through all of them."""
        waiting = list(sources)
        nursery.want(len(waiting))
        while waiting or self._running:
            while waiting and len(self._running) < self._jobs:
                self._start(waiting.pop(0))
            for worker in [w for w in self._running if w.has_ended()]:
                self._end(worker)
            if self._progress and self._running:
                self._show(waiting)
            if self._running:
                time.sleep(POLL_S)

    def stop(self) -> None:
        """End whatever still runs, and leave no process and no folder."""
        for worker in self._running:
            worker.stop()
            worker.discard()
        if self._progress:
            self._progress.close()

    def _start(self, source: build.Source) -> None:
        result = None if self._settings.force else cached(source, self._settings)
        if result:
            self._finish(result)
            return
        try:
            self._running.append(Worker(source, self._settings))
        except Exception as error:  # of this notebook alone
            self._finish(_broken(source, self._settings, error))

    def _end(self, worker: Worker) -> None:
        try:
            result = worker.result()
        except Exception as error:  # what a notebook did must not end the series
            result = _broken(worker.source, self._settings, error)
        self._running.remove(worker)
        worker.discard()
        self._stretch.add(result.seconds, worker.guess)
        self._finish(result)

    def _finish(self, result: Result) -> None:
        self.results[result.name] = result
        if self._on_result:  # first: a signal may come as soon as the line is shown
            self._on_result(result)
        if self._progress:
            self._progress.ended(result)

    def _show(self, waiting: list[build.Source]) -> None:
        factor = self._stretch.factor
        rows = [
            (w.source.name, *w.cell(), w.spent(), w.left(factor)) for w in self._running
        ]
        wait = [factor * expected(source, self._settings) for source in waiting]
        rest = estimate.series([row[4] for row in rows], wait, self._jobs)
        self._progress.running(rows, rest)


def _broken(source: build.Source, settings: Settings, error: Exception) -> Result:
    """The result of a notebook that the runner itself could not deal with."""
    failure = Failure("runner", f"{type(error).__name__}: {error}")
    executed = settings.folder / f"{source.name}.ipynb"
    return Result(source.name, settings.profile, executed, (failure,), 0.0, ())


def write_reports(results: Sequence[Result], settings: Settings) -> None:
    """Write junit.xml and seconds.csv beside the executed copies."""
    write_junit(results, settings.folder / "junit.xml")
    write_seconds(results, settings.folder / "seconds.csv")
