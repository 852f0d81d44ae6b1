"""The clone that the package lies in, if it lies in one, and its lessons."""

import re
from pathlib import Path

import workbench

ROOT = Path(workbench.__file__).resolve().parent.parent
NUMBERED = re.compile(r"\d\d[a-z]?_\w+")  # a lesson 22_thumbs, a study 22a_bco


def is_clone(root: Path) -> bool:
    """Whether a folder is a clone, which has lessons beside the package."""
    return (root / "notebooks" / "src").is_dir()


def sources(root: Path) -> list[Path]:
    """The sources of all lessons and studies of a clone, by number; none elsewhere."""
    found = (root / "notebooks" / "src").glob("*.py")
    return sorted(path for path in found if NUMBERED.fullmatch(path.stem))
