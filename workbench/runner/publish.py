"""The committed form of an executed notebook: outputs, a stamp, nothing of the machine.

What differs between two executions of the same code is removed: timestamps, papermill's
records, widget state (a static figure stands beside each instrument), paths, addresses.
"""

import copy
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from workbench.runner import build, verdict
from workbench.runner.job import Result, Settings
from workbench.runner.stamp import STAMP, code_hash

MAX_BYTES = 400_000  # of compact JSON; nine figures, each live and as a picture
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
LIVE_ONLY = "An instrument: run this cell in JupyterLab to move it."


class PublishError(RuntimeError):
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
    count = 0
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
        cell.outputs = [_clean_output(out, count, root) for out in cell.outputs]
    cleaned.metadata = nbformat.from_dict(
        {
            "kernelspec": build.KERNELSPEC,
            "language_info": {"name": "python"},
            "workbench": dict(cleaned.metadata.get("workbench", {})),
        }
    )
    return cleaned


def publish(result: Result, settings: Settings) -> Path:
    """Copy an executed notebook into `notebooks/` and its results into `data/results`.

    Args:
        result: a notebook that passed at the lecture profile.
        settings: how it was executed.

    Returns:
        The committed notebook.

    Raises:
        PublishError: it failed, ran at another profile, is too large or still names a
            folder of this machine.
    """
    if not result.passed or result.profile != "lecture":
        raise PublishError(f"{result.name}: only a notebook that passed at lecture")
    notebook = clean(build.load(result.executed), settings.root)
    notebook.metadata["workbench"][STAMP] = code_hash(notebook)
    target = settings.root / "notebooks" / f"{result.name}.ipynb"
    text = json.dumps(notebook, ensure_ascii=False)
    for path in _machine_paths(settings.root):
        if path in text:
            at = text.index(path)
            raise PublishError(
                f"{result.name}: a path of this machine: {text[at - 40 : at + 80]!r}"
            )
    if len(text.encode()) > MAX_BYTES:
        raise PublishError(
            f"{result.name}: {len(text.encode()) / 1e3:.0f} KB to commit, "
            f"at most {MAX_BYTES / 1e3:.0f}"
        )
    build.write(notebook, target)
    _publish_results(notebook, result, settings)
    return target


def _publish_results(notebook: Any, result: Result, settings: Settings) -> None:
    """Tables that the notebook wrote to OUT, claims.csv among them, and run.json."""
    folder = settings.root / "data" / "results" / result.name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.suffix == ".csv":
            old.unlink()
    for table in sorted((settings.folder / result.name).glob("*.csv")):
        (folder / table.name).write_bytes(table.read_bytes())
    run = {
        "notebook": result.name,
        "profile": result.profile,
        "stamp": notebook.metadata["workbench"][STAMP],
        "python": ".".join(str(part) for part in sys.version_info[:2]),
        "device": settings.device or "cpu",
        **{name: _version(name) for name in ("torch", "transformers", "numpy")},
    }
    text = json.dumps(run, indent=1, sort_keys=True) + "\n"
    (folder / "run.json").write_text(text, encoding="utf-8")


def _clean_output(output: Any, count: int, root: Path) -> Any:
    if output.output_type == "execute_result":
        output.execution_count = count
    if output.output_type == "stream":
        output.text = _clean_text(output.text, root)
    elif output.output_type == "error":
        output.evalue = _clean_text(output.evalue, root)
        output.traceback = [_clean_text(line, root) for line in output.traceback]
    else:
        if WIDGET_VIEW in output.data:
            del output.data[WIDGET_VIEW]
            output.data["text/plain"] = LIVE_ONLY
        for mime, value in output.data.items():
            if mime.startswith("text/") and isinstance(value, str):
                output.data[mime] = _clean_text(value, root)
    return output


def _clean_text(text: str, root: Path) -> str:
    for path in _machine_paths(root):
        text = text.replace(path + os.sep, "").replace(path, ".")
    text = re.sub(r"[/]tmp/ipykernel_\d+/\d+\.py", "cell", text)
    return re.sub(r"\bat 0x[0-9a-fA-F]{6,}", "at 0x0", text)


def _machine_paths(root: Path) -> list[str]:
    """Folders of this machine, the longest first; `/` or `/root` say nothing."""
    site = Path(os.__file__).parent
    packages = Path(sys.prefix) / "lib"
    paths = {str(p) for p in (root.resolve(), Path.home(), sys.prefix, packages, site)}
    return sorted((p for p in paths if len(p) > 5), key=len, reverse=True)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
