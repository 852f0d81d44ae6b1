"""What was executed before and need not be executed again."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.core import durable
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
    """Keep an outcome, with what it depends on and the files that it left in OUT."""
    row = {
        "key": _key(source, settings),
        "seconds": result.seconds,
        "cpu_seconds": result.cpu_seconds,
        "cell_seconds": result.cell_seconds,
        "failures": [asdict(failure) for failure in result.failures],
        "notes": result.notes,
        "outputs": outputs(settings.folder / source.name),
    }
    path = record_of(source, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.replace(path, json.dumps(row))
    history = settings.folder / ".records" / f"{source.name}.seconds"
    history.write_text(f"{result.seconds:.3f}\n", encoding="utf-8")


def cached(source: build.Source, settings: Settings) -> Result | None:
    """The earlier result, if the notebook passed then and nothing changed since.

    A record or an executed copy that cannot be read counts as none, and so does one
    whose tables in OUT were changed or deleted.
    """
    executed = settings.folder / f"{source.name}.ipynb"
    try:
        record = json.loads(record_of(source, settings).read_text(encoding="utf-8"))
        notebook = _still_valid(source, settings, record, executed)
        return notebook and _result(source, settings, record, executed)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _still_valid(
    source: build.Source, settings: Settings, record: dict, executed: Path
) -> Any | None:
    """The executed copy with the prose of today; None if it has to run again."""
    if record["failures"] or record["key"] != _key(source, settings):
        return None
    if record["outputs"] != outputs(settings.folder / source.name):
        return None
    old = build.load(executed)
    # Prose may have changed without the code.
    notebook = build.carry_outputs(source.notebook, old)
    changed = old.metadata.get("workbench") != source.notebook.metadata["workbench"]
    if notebook is not None and changed:
        build.write(notebook, executed)
    return notebook


def _result(
    source: build.Source, settings: Settings, record: dict, executed: Path
) -> Result:
    return Result(
        name=source.name,
        profile=settings.profile,
        executed=executed,
        failures=(),
        seconds=float(record["seconds"]),
        cell_seconds=tuple(record["cell_seconds"]),
        cpu_seconds=record["cpu_seconds"],
        cached=True,
        notes=tuple(record["notes"]),
    )


def outputs(folder: Path) -> dict[str, str]:
    """Name and hash of every file below a notebook's OUT."""
    if not folder.is_dir():
        return {}
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def expected(source: build.Source, settings: Settings) -> float:
    """Seconds the notebook took last time here, or half its budget on this machine."""
    history = settings.folder / ".records" / f"{source.name}.seconds"
    try:
        return float(history.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.5 * source.budget_s[settings.profile] * settings.speed.wall
