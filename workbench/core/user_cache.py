"""Folders of the user's cache: made whole or not at all, by one process at a time."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from workbench.core import durable

VARIABLE = "WORKBENCH_CACHE"


def place() -> Path:
    """The cache's folder: the variable WORKBENCH_CACHE, or the system's own place."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("workbench", appauthor=False)


def whole(folder: Path, make: Callable[[Path], object]) -> Path:
    """A folder that is there with all its files, made first if need be.

    Args:
        folder: where it should be.
        make: fills an empty folder beside it, which is then moved to its place. It is
            not called where the folder is already there.

    Returns:
        the folder. A second process that asks for it waits until the first has ended.

    Raises:
        OSError: it cannot be written.
    """
    from filelock import FileLock

    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():  # made by the process that had the lock before
            return folder
        # nobody else writes here, so what is there is of a process that was killed
        partial = folder.with_name(f".{folder.name}{durable.PARTIAL}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            make(partial)
            for path in partial.rglob("*"):
                durable.sync(path)
            os.replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        durable.sync(folder.parent)
    return folder
