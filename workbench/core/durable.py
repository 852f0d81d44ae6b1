"""Files that a kill or a loss of power leaves whole: the old text or the new one."""

import os
from pathlib import Path

PARTIAL = ".partial"  # a file is written under this name, then moved to its place


def replace(path: Path, text: str) -> None:
    """Replace a text file in one move, and see that it is on the disk.

    Raises:
        OSError: it cannot be written; the old file stands.
    """
    beside = path.with_name(path.name + PARTIAL)
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have a file, or the list of a folder's files, on the disk and not on its way."""
    if os.name == "nt":  # which flushes neither folders nor what is open for reading
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
