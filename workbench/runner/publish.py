"""The committed form of an executed notebook: outputs, a stamp, nothing of the machine.

What differs between two executions of the same code is removed: timestamps, papermill's
records, widget state (a static figure stands beside each instrument), paths, addresses,
and what packages say on stderr.
"""

import copy
import html
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from workbench.core.errors import WorkbenchError
from workbench.runner import build, verdict
from workbench.runner.job import Result, Settings
from workbench.runner.stamp import STAMP, code_hash

MAX_BYTES = 400_000  # of compact JSON; nine figures, each live and as a picture
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
STATES = verdict.STATES
LIVE_ONLY = "An instrument: run this cell in JupyterLab to move it."

# Folders of people and of temporary files, whoever's they are. What stands before is no
# part of a longer path or an address; it may be a colour's end or a spelt-out newline.
_ANYBODYS = (
    r"(?:(?<![\w.\-~])|(?<=\dm)|(?<=\\[nrt]))/"
    r"(?:(?:root|tmp|var/tmp)/+(?=[^\s/])"
    r"|(?:home|Users)/[\w@-]+(?:\.[\w@-]+)*(?:/+|(?![\w-])))"
)
_BASE64 = re.compile(r"image/(?!svg)|application/(?:pdf|octet-stream)$")
_CELL_FILE = re.compile(r"[^\s'\"<>;]*[/\\]ipykernel_\d+[/\\]+\d+\.py")


class PublishError(WorkbenchError, RuntimeError):
    """An executed notebook that cannot be committed."""


def clean(notebook: Any, root: Path) -> Any:
    """A copy of an executed notebook without anything of the run or the machine.

    Args:
        notebook: the executed copy.
        root: the project folder, whose path is cut from outputs.

    Returns:
        A notebook whose cells are those of its source, with outputs.
    """
    import nbformat

    cleaned = copy.deepcopy(notebook)
    cleaned.cells = [
        cell
        for cell in cleaned.cells
        if "injected-parameters" not in verdict.tags(cell)
    ]
    count, strip = 0, path_cleaner(root)
    for cell in cleaned.cells:
        cell.metadata = nbformat.from_dict(
            {
                key: cell.metadata[key]
                for key in build.KEPT_CELL_METADATA
                if cell.metadata.get(key)
            }
        )
        if cell.cell_type != "code":
            continue
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
        cell.outputs = [
            _clean_output(output, count, strip)
            for output in cell.outputs
            if output.get("name") != "stderr"
        ]
    cleaned.metadata = nbformat.from_dict(
        {
            "kernelspec": build.KERNELSPEC,
            "language_info": {"name": "python"},
            "workbench": dict(cleaned.metadata.get("workbench", {})),
        }
    )
    return cleaned


def path_cleaner(root: Path) -> Callable[[str], str]:
    """A function that cuts the folders of this machine, and addresses, from a text.

    Args:
        root: the project folder; paths in it are named from there.
    """
    pattern = re.compile(f"{_machine_paths(root)}|{_ANYBODYS}")

    def strip(text: str) -> str:
        text = _CELL_FILE.sub("cell", text)
        text = pattern.sub(lambda m: "" if m[0][-1] in "/\\" else ".", text)
        return re.sub(r"\bat 0x[0-9a-fA-F]{6,}", "at 0x0", text)

    return strip


def publish(result: Result, settings: Settings) -> Path:
    """Copy an executed notebook into `notebooks/` and its results into `data/results`.

    All is written beside its place before anything is replaced, and a table that the
    notebook no longer writes goes last: a failure or a kill loses no table.

    Args:
        result: a notebook that passed at the lecture profile.
        settings: how it was executed.

    Returns:
        The committed notebook.

    Raises:
        PublishError: it failed, ran at another profile, is too large, still names a
            folder of this machine, or its published tables are not in OUT any more.
    """
    if not result.passed or result.profile != "lecture":
        raise PublishError(f"{result.name}: only a notebook that passed at lecture")
    try:
        notebook = clean(build.load(result.executed), settings.root)
        tables = _csv_files(settings.folder / result.name)
    except (OSError, ValueError) as error:
        raise PublishError(f"{result.name}: cannot be read: {error}") from error
    notebook.metadata["workbench"][STAMP] = code_hash(notebook)
    instruments = take_states(notebook)
    _check(notebook, result.name, settings.root)
    folder = settings.root / "data" / "results" / result.name
    _check_tables(folder, tables, notebook.metadata["workbench"][STAMP])
    target = settings.root / "notebooks" / f"{result.name}.ipynb"
    # run.json last: while it is the old one, the tables may be of two runs.
    files = {**tables, **instruments}
    files["run.json"] = _run_json(notebook, result, settings)
    folder.mkdir(parents=True, exist_ok=True)
    with _beside(folder, files) as replace:
        build.write(notebook, target)
        replace()
    for name in (_names(folder) | _instruments(folder)) - set(files):
        (folder / name).unlink()
    return target


def take_states(notebook: Any) -> dict[str, bytes]:
    """Take the states of instruments out of a notebook, which keeps their files' names.

    Args:
        notebook: changed in place: an output's states become {"file": its name}.

    Returns:
        Compact JSON by file name, `instrument-1.json` for the first instrument.
    """
    files: dict[str, bytes] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            found = output.get("data", {}).get(STATES)
            if not found or "file" in found:
                continue
            name = f"instrument-{len(files) + 1}.json"
            text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
            files[name] = f"{text}\n".encode()
            output.data[STATES] = {"file": name}
    return files


def _check(notebook: Any, name: str, root: Path) -> None:
    """Refuse a notebook that names this machine (in its code, say) or is too large."""
    text = json.dumps(notebook, ensure_ascii=False)
    found = re.search(_machine_paths(root), text)
    if found:
        around = text[max(0, found.start() - 40) : found.start() + 80]
        raise PublishError(f"{name}: a path of this machine: {around!r}")
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        raise PublishError(
            f"{name}: {size / 1e3:.0f} KB to commit, at most {MAX_BYTES / 1e3:.0f}"
        )


def _check_tables(folder: Path, tables: dict[str, bytes], stamp: str) -> None:
    """Refuse if OUT has lost published tables: all, or any that this code wrote."""
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        run = None
    lost = sorted(_names(folder) - set(tables))
    same = isinstance(run, dict) and run.get("stamp") == stamp
    if lost and (same or not tables):
        raise PublishError(
            f"{folder.name}: its folder OUT has lost {', '.join(lost)}; execute it "
            f"again with --force (or delete the file in data/results/{folder.name})"
        )


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.csv")}


def _instruments(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("instrument-*.json")}


def _csv_files(folder: Path) -> dict[str, bytes]:
    """Tables that the notebook wrote to OUT, claims.csv among them."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.csv"))}


@contextmanager
def _beside(folder: Path, files: dict[str, bytes]) -> Iterator[Callable[[], None]]:
    """Write files under other names; yields the function that moves them all."""
    partial = {folder / name: folder / f".{name}.partial" for name in files}
    try:
        for path, beside in partial.items():
            beside.write_bytes(files[path.name])

        def replace() -> None:
            for path, beside in partial.items():
                beside.replace(path)

        yield replace
    finally:
        for beside in partial.values():
            beside.unlink(missing_ok=True)


def _run_json(notebook: Any, result: Result, settings: Settings) -> bytes:
    run = {
        "notebook": result.name,
        "profile": result.profile,
        "stamp": notebook.metadata["workbench"][STAMP],
        "python": ".".join(str(part) for part in sys.version_info[:2]),
        "device": settings.device or "cpu",
        **{name: version(name) for name in ("torch", "transformers", "numpy")},
    }
    return (json.dumps(run, indent=1, sort_keys=True) + "\n").encode()


def _clean_output(output: Any, count: int, strip: Callable[[str], str]) -> Any:
    """An output without paths and addresses, whatever its type."""
    if output.output_type == "execute_result":
        output.execution_count = count
    if WIDGET_VIEW in output.get("data", {}):
        del output.data[WIDGET_VIEW]
        output.data["text/plain"] = LIVE_ONLY
    return _strip_all(output, strip)


def _strip_all(value: Any, strip: Callable[[str], str], key: str = "") -> Any:
    """Every text below a value, except the letters that spell a picture."""
    if isinstance(value, str):
        return value if _BASE64.match(key) else strip(value)
    if isinstance(value, list):
        return [_strip_all(item, strip, key) for item in value]
    if isinstance(value, dict):
        return type(value)(
            (strip(k), _strip_all(v, strip, k)) for k, v in value.items()
        )
    return value


def _machine_paths(root: Path) -> str:
    """A pattern of folders of this machine, as text, HTML, JSON and addresses spell
    them; `/` or `/root` alone say nothing.
    """
    prefix = Path(sys.prefix)
    standard = Path(os.__file__).parent
    folders = [root, Path.home(), Path(tempfile.gettempdir()), prefix, standard]
    folders += [prefix / "lib", *(folder.resolve() for folder in folders)]
    paths = {str(folder) for folder in folders if len(str(folder)) > 5}
    spelt = {
        form
        for path in paths
        for form in (path, html.escape(path), json.dumps(path)[1:-1], quote(path))
    }
    longest_first = sorted(map(re.escape, spelt), key=len, reverse=True)
    return rf"(?:{'|'.join(longest_first)})(?:[/\\]+|(?![\w-]))"
