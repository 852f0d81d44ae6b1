"""All processes of one job: the worker, its kernel, and whatever they started.

A process that leaves its session (`setsid`), or whose parent has died, is no longer a
child of any process of the job, but it still carries the environment that it was
started with. The job's folder is named there, and that is how its processes are found.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

MARK = "WORKBENCH_JOB"


def members(folder: Path) -> Iterator:
    """The living processes of a job.

    Args:
        folder: the job's folder, as its environment names it.

    Yields:
        psutil processes of this user.
    """
    import psutil

    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder):
                yield process
        except (psutil.Error, OSError):
            continue  # somebody else's, or gone meanwhile


def memory(folder: Path) -> int:
    """Bytes of memory that a job's processes hold."""
    import psutil

    total = 0
    for process in members(folder):
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total


def end(folder: Path, keep: int | None = None) -> None:
    """Kill every process of a job and remove its folder.

    Args:
        folder: the job's folder.
        keep: the number of a process that lives on, the caller's own.
    """
    kill(folder, keep)
    shutil.rmtree(folder, ignore_errors=True)


def kill(folder: Path, keep: int | None = None) -> None:
    """Kill every process of a job; a process that forks meanwhile is found again."""
    import psutil

    for _ in range(5):
        found = [p for p in members(folder) if p.pid not in (keep, os.getpid())]
        for process in found:
            try:
                process.kill()
            except psutil.Error:
                continue
        psutil.wait_procs(found, timeout=5)
        if not found:
            return
