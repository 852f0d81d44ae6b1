"""Files put into a folder, each as a whole, and nothing removed that is not ours."""

import filecmp
import json
import os
import re
from pathlib import Path

NAMES = ".book.json"  # in a site: the files that are ours
INTERNAL = re.compile(r"\.buildinfo.*|objects\.inv|\.doctrees")
PARTIAL = re.compile(r"\..+\.(\d+)\.partial")


def hang(folders: list[Path], site: Path) -> None:
    """Put files into the site, each as a whole; what is no longer ours goes.

    Args:
        folders: whose files are shown.
        site: the folder to fill; files that we did not write stay.
    """
    site.mkdir(parents=True, exist_ok=True)
    sweep(site)
    found = {
        path.relative_to(folder).as_posix(): path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not INTERNAL.fullmatch(path.relative_to(folder).parts[0])
    }
    before = ours(site)
    # should this be stopped half-way, the next call still knows what is ours
    _replace(site / NAMES, json.dumps(sorted(before | set(found))).encode())
    for name, path in found.items():
        target = site / name
        if not (target.is_file() and filecmp.cmp(path, target, shallow=False)):
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(target, path.read_bytes())
    for name in before - set(found):
        (site / name).unlink(missing_ok=True)
    _replace(site / NAMES, json.dumps(sorted(found)).encode())


def ours(site: Path) -> set[str]:
    """The files of an earlier build, as far as its list can be read and trusted."""
    try:
        names = json.loads((site / NAMES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    names = names if isinstance(names, list) else []
    return {
        name
        for name in names
        if isinstance(name, str)
        and (site / name).resolve().is_relative_to(site.resolve())
    }


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there: nobody reads half a page."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sweep(site: Path) -> None:
    """Remove what processes that are gone had half written."""
    import psutil

    for path in site.rglob(".*.partial"):
        owner = PARTIAL.fullmatch(path.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            path.unlink(missing_ok=True)


def fill(folder: Path, contents: dict[str, bytes]) -> None:
    """Make a folder hold these files and no others; equal ones keep their time."""
    for name, content in contents.items():
        path = folder / name
        if not (path.is_file() and path.read_bytes() == content):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in contents:
            path.unlink()
