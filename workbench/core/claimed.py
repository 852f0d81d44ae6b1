"""One writer a folder: a lock that ends with its process, however that ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.core.errors import BadRun

LOCK = ".workbench.lock"


@contextmanager
def claimed(folder: str | Path) -> Iterator[None]:
    """Be the only process of ours that writes into a folder, which is made if need be.

    Raises:
        BadRun: another process writes there now, or the folder cannot be made.
    """
    from filelock import FileLock, Timeout

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise BadRun(folder, "no folder", "there is a file of this name")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BadRun(
            folder, "in use", "another workbench process is writing into it; wait "
            "until it has ended, or name another folder",
        ) from None  # fmt: skip
    try:
        yield
    finally:
        lock.release()
        (folder / LOCK).unlink(missing_ok=True)
