"""Warnings of other people's packages: kept, told once at the end, in nobody's way.

A deprecation in somebody's release of next week is nothing that a reader can act on. So
``listen`` keeps such warnings aside, for the end of a command or of a run of notebooks;
our own, and those of a cell or script of the user, are shown as ever.
"""

import json
import logging
import os
import sys
import warnings
from pathlib import Path

# Packages announce changes with these, and may blame the line of ours that called them.
ANNOUNCEMENTS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
FILE = "WORKBENCH_NOTES"
PACKAGE = Path(__file__).resolve().parents[1]

_kept: dict[str, None] = {}  # in the order of their first appearance


def is_foreign(category: type[Warning], filename: str) -> bool:
    """Whether a warning is another package's.

    Args:
        category: what kind of warning it is.
        filename: the file that it blames.
    """
    if issubclass(category, ANNOUNCEMENTS) or filename.startswith("<frozen"):
        return True
    path = Path(filename)
    if PACKAGE in path.resolve().parents:
        return False
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    library = Path(os.__file__).parent in path.parents
    return bool(installed) or library


def note(text: str) -> None:
    """Keep a sentence for the end; the same sentence is kept once."""
    text = " ".join(text.split())[:300]
    if not text or text in _kept:
        return
    _kept[text] = None
    if path := os.environ.get(FILE):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(text) + "\n")


def kept() -> list[str]:
    """What was noted so far in this process."""
    return list(_kept)


def read(path: Path) -> list[str]:
    """What other processes noted in the file that ``WORKBENCH_NOTES`` names."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return list(dict.fromkeys(json.loads(line) for line in lines))


def listen() -> None:
    """Keep other packages' warnings and log lines of this process aside."""
    if getattr(warnings.showwarning, "keeps_notes", False):
        return
    shown = warnings.showwarning

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        if is_foreign(category, filename):
            note(f"{_package(filename)}: {category.__name__}: {message}")
        else:
            shown(message, category, filename, lineno, file, line)

    show.keeps_notes = True
    warnings.showwarning = show
    # transformers writes its advice to stderr by itself
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if "transformers" in sys.modules:
        logging.getLogger("transformers").setLevel(logging.ERROR)
    logging.lastResort = _Keep(logging.WARNING)


class _Keep(logging.Handler):
    """Where log lines go that no handler takes."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.name.startswith("workbench"):
            print(record.getMessage(), file=sys.stderr)
        else:
            note(f"{record.name.split('.')[0]}: {record.getMessage()}")


def _package(filename: str) -> str:
    """The package that a file belongs to; ours, if a change is announced to us."""
    parts = Path(filename).parts
    for name in ("site-packages", "dist-packages"):
        if name in parts[:-1]:
            return parts[parts.index(name) + 1].removesuffix(".py")
    return "workbench" if PACKAGE in Path(filename).resolve().parents else "a package"
