"""Execute the series: two notebooks at a time, each in a process of its own."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from workbench.runner import build
from workbench.runner.cache import cached, expected
from workbench.runner.job import Result, Settings
from workbench.runner.report import Progress, write_junit, write_seconds
from workbench.runner.worker import Worker

POLL_S = 0.2


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
    running: list[Worker] = []
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
                result = None if settings.force else cached(source, settings)
                if result:
                    finish(result)
                else:
                    running.append(Worker(source, settings))
            for worker in list(running):
                if worker.has_ended():
                    running.remove(worker)
                    finish(worker.result())
            if progress and running:
                rows = [worker.row() for worker in running]
                rest = [row[4] for row in rows]
                rest += [expected(source, settings) for source in waiting]
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
