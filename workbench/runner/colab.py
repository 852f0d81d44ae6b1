"""What a lesson needs on Colab: a link that opens it there, and a cell that installs.

Both need the repository's address, which stands once, in pyproject.toml:

    [tool.workbench]
    repository = "https://github.com/OWNER/NAME"

Without it a lesson has neither.
"""

import tomllib
from pathlib import Path
from typing import Any

INSTALL = """\
# On Colab this installs the workbench; anywhere else it does nothing.
import sys

if "google.colab" in sys.modules:
    import subprocess

    wanted = "workbench[lab] @ git+{address}"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", wanted]
    subprocess.run(pip, check=True)"""
OPEN = (
    "https://colab.research.google.com/github/{place}/blob/main/notebooks/{name}.ipynb"
)


def address(root: Path) -> str | None:
    """The repository's address, None if pyproject.toml names none.

    Args:
        root: the project folder.
    """
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return None
    found = project.get("tool", {}).get("workbench", {}).get("repository")
    return found.rstrip("/") if isinstance(found, str) and found.strip() else None


def add(notebook: Any, name: str, repository: str) -> None:
    """Put the link under a lesson's title and the cell before its first code.

    Args:
        notebook: built, changed in place.
        name: such as `20_dpo`.
        repository: its address; only GitHub's can be opened by Colab.
    """
    import nbformat.v4 as v4

    place = repository.removeprefix("https://github.com/")
    first = notebook.cells[0]
    if place != repository and first.cell_type == "markdown":
        link = f"[Open this lesson in Colab]({OPEN.format(place=place, name=name)})"
        title, _, rest = first.source.partition("\n")
        first.source = f"{title}\n\n{link}\n{rest}"
    cell = v4.new_code_cell(INSTALL.format(address=repository))
    cell.metadata["tags"] = ["install"]
    code = (n for n, c in enumerate(notebook.cells) if c.cell_type == "code")
    notebook.cells.insert(next(code, len(notebook.cells)), cell)
