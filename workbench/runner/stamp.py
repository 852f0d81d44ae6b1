"""Hashes that say whether an executed notebook still belongs to its code."""

import hashlib
import platform
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

STAMP = "stamp"
PACKAGES = ("torch", "transformers", "numpy", "pandas", "matplotlib", "ipywidgets")
# Cells that are not the source's own: the runner's parameters, Colab's installation.
ADDED = frozenset({"injected-parameters", "install"})


def code_hash(notebook: Any) -> str:
    """Hash of the code cells, in order, with their tags (a tag changes the verdict).

    Args:
        notebook: built or executed.

    Returns:
        16 hexadecimal digits; a cell that was added for the runner or for Colab does
        not count.
    """
    return _digest(
        f"{sorted(_tags(cell))}\0{cell.source}"
        for cell in notebook.cells
        if cell.cell_type == "code" and not ADDED & set(_tags(cell))
    )


def cells_hash(notebook: Any) -> str:
    """Hash of all cells, prose included: has somebody edited this notebook?"""
    return _digest(
        f"{cell.cell_type}\0{cell.source}"
        for cell in notebook.cells
        if "injected-parameters" not in _tags(cell)
    )


def is_current(source_notebook: Any, published: Any) -> str | None:
    """Say why a published notebook does not belong to its source.

    Args:
        source_notebook: built from the py:percent file.
        published: the committed .ipynb.

    Returns:
        None if it does, otherwise one sentence.
    """
    stamp = published.metadata.get("workbench", {}).get(STAMP)
    if stamp is None:
        return "it has no stamp: it was never executed and published"
    expected = code_hash(source_notebook)
    if stamp != expected:
        return f"its stamp {stamp} is stale: the code of its source is {expected}"
    if code_hash(published) != stamp:
        return "its code cells were edited after it was published"
    if cells_hash(published) != cells_hash(source_notebook):
        return "its prose differs from the source"
    return None


def cache_key(notebook: Any, root: Path, settings: dict[str, Any]) -> str:
    """Key of an execution: same key, same outputs.

    Args:
        notebook: the built notebook.
        root: the project folder, with `workbench/` and `data/`.
        settings: profile and injected parameters.

    Returns:
        16 hexadecimal digits over the notebook's code, the library, the shipped data
        (not `data/results`, which runs write) and the versions of Python and of the
        packages that make numbers and figures.
    """
    return _digest(
        [
            code_hash(notebook),
            _library_hash(root),
            repr(sorted(settings.items())),
            platform.python_version(),
            *map(_version, PACKAGES),
        ]
    )


@lru_cache(maxsize=8)
def _library_hash(root: Path) -> str:
    files = sorted((root / "workbench").rglob("*.py"))
    results = root / "data" / "results"
    shipped = root / "workbench" / "data" / "reference"
    for folder in (root / "data", shipped):
        files += sorted(
            path
            for path in folder.rglob("*")
            if path.is_file() and results not in path.parents
        )
    return _digest(
        f"{path.relative_to(root).as_posix()}\0"
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in files
    )


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def _digest(parts: Iterable[str]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(part.encode())
        total.update(b"\0\0")
    return total.hexdigest()[:16]
