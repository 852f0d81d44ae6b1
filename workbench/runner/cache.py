"""What was executed before and need not be executed again."""

import json
from dataclasses import asdict
from pathlib import Path

from workbench.runner import build
from workbench.runner.job import Result, Settings, parameters
from workbench.runner.stamp import cache_key


def record_of(source: build.Source, settings: Settings) -> Path:
    """Where the outcome of the last execution is kept."""
    return settings.folder / ".records" / f"{source.name}.json"


def _key(source: build.Source, settings: Settings) -> str:
    injected = parameters(source, settings)
    return cache_key(source.notebook, settings.root.resolve(), injected)


def remember(source: build.Source, settings: Settings, result: Result) -> None:
    """Keep an outcome, with what it depends on."""
    row = {
        "key": _key(source, settings),
        "seconds": result.seconds,
        "cell_seconds": result.cell_seconds,
        "failures": [asdict(failure) for failure in result.failures],
    }
    path = record_of(source, settings)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(row), encoding="utf-8")
    partial.replace(path)
    history = settings.folder / ".records" / f"{source.name}.seconds"
    history.write_text(f"{result.seconds:.3f}\n", encoding="utf-8")


def cached(source: build.Source, settings: Settings) -> Result | None:
    """The earlier result, if the notebook passed then and nothing changed since."""
    path = record_of(source, settings)
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


def expected(source: build.Source, settings: Settings) -> float:
    """Seconds the notebook took last time, or half its budget."""
    history = settings.folder / ".records" / f"{source.name}.seconds"
    try:
        return float(history.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.5 * source.budget_s[settings.profile] * settings.slow
