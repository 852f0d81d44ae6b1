"""The answers that a reader clicked, kept beside the notebook: ``.answers.json``.

A click cannot change the text of a cell. So it is kept in the folder that the notebook
runs in, such as ``work/``, and found again by the next kernel there. Nothing is kept
where a notebook runs without a reader, nor in the repository's own ``notebooks/``.
"""

import json
from pathlib import Path

FILE = ".answers.json"


def live() -> bool:
    """Whether a reader is there: a notebook's kernel, and not the runner's."""
    from workbench.views.instruments.shell import is_live

    return is_live()


def place(folder: Path | None = None) -> Path | None:
    """The file of answers, or None where none may be kept.

    Args:
        folder: of the notebook; the kernel's working folder if None.
    """
    folder = folder or Path.cwd()
    published = any((folder / "src").glob("[0-9][0-9]*_*.py"))
    return None if published else folder / FILE


def answers(folder: Path | None = None) -> dict[str, str]:
    """What was kept, by the prediction's id; a damaged file holds nothing.

    Args:
        folder: as in `place`.
    """
    path = place(folder)
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {id: text for id, text in pairs if isinstance(text, str)}


def keep(id: str, answer: str, folder: Path | None = None) -> bool:
    """Keep an answer; an empty one takes back what was kept.

    Args:
        id: of the prediction.
        answer: the reader's.
        folder: as in `place`.

    Returns:
        Whether it could be written; if not, it lasts as long as the kernel.
    """
    path = place(folder)
    if path is None:
        return False
    found = answers(folder) | {id: answer}
    kept = {name: text for name, text in sorted(found.items()) if text}
    data = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
    partial = path.with_name(f"{FILE}.partial")
    try:
        partial.write_text(data, encoding="utf-8")
        partial.replace(path)
    except OSError:
        return False
    return True
