"""The folder that a command writes into: it knows which files the command made.

The list ``.workbench-files`` names every file before it is written, so a command killed
at any moment leaves nothing that is not on it. What is not on it is the user's, and is
never written, replaced or deleted.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeGuard

from workbench.core import durable
from workbench.core.claimed import LOCK, claimed
from workbench.core.durable import PARTIAL
from workbench.core.errors import BadOption, BadRun

LIST = ".workbench-files"
KEPT_OUT = {LIST, LIST + PARTIAL, LOCK}


@dataclass(frozen=True)
class Command:
    """What a folder is asked for.

    Attributes:
        name: of the command; its card is the file ``NAME.json``.
        card: what identifies it, as JSON holds it; only the same is resumed.
        holds: what the folder will hold, in words: "2 runs of dpo".
        wanted: every path it will write, from the folder; one that ends with a slash is
            a folder that the command fills as it likes.
    """

    name: str
    card: dict
    holds: str
    wanted: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Name of the card."""
        return f"{self.name}.json"


@dataclass
class _Record:
    """What ``.workbench-files`` says."""

    command: str
    holds: str
    clearing: bool = False  # an --overwrite was at work: finish it first
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def owns(self, name: str) -> bool:
        return name in self.files or any(name.startswith(f) for f in self.folders)


class Outputs:
    """A folder opened by ``opened``; paths are given from it, with slashes.

    Attributes:
        folder: where it is.
        resumed: whether an earlier start of the same command goes on.
    """

    def __init__(self, folder: Path, record: _Record, resumed: bool):
        self.folder, self.resumed = folder, resumed
        self._record = record

    def claim(self, *names: str) -> None:
        """Put paths on the list before they are written; each must be free, or ours.

        Args:
            names: files; or, with a slash at the end, folders whose whole content is
                ours until ``settle``.

        Raises:
            BadRun: something that the command did not make lies there.
        """
        _check_free(self.folder, names, self._record)
        files = {n for n in names if not n.endswith("/")}
        files |= {n + PARTIAL for n in files}
        folders = {n for n in names if n.endswith("/")}
        if files <= self._record.files and folders <= self._record.folders:
            return
        self._record.files |= files
        self._record.folders |= folders
        _store(self.folder, self._record)

    def path(self, name: str) -> Path:
        """Claim a file, and make the folder it goes into."""
        self.claim(name)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, text: str) -> None:
        """Claim a text file, and replace it in one move."""
        durable.replace(self.path(name), text)

    def settle(self, *folders: str) -> None:
        """List the files of claimed folders; what is put there later is not ours."""
        for name in folders:
            self._record.files |= set(_files_below(self.folder, name))
            self._record.folders.discard(name)
        _store(self.folder, self._record)


def check(
    folder: str | Path, command: Command, *, resume: bool = False,
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Whether ``opened`` would open the folder; changes nothing.

    Raises:
        BadOption: both ``resume`` and ``overwrite``.
        BadRun: the folder cannot be used, with what it holds and what to do.
    """
    _plan(Path(folder), command, resume, overwrite)


@contextmanager
def opened(
    folder: str | Path, command: Command, *, resume: bool = False,
    overwrite: bool = False,
) -> Iterator[Outputs]:  # fmt: skip
    """Be the one command that writes into a folder, which is made if need be.

    Args:
        folder: missing, empty, or of an earlier command of ours.
        command: what is going to be written.
        resume: go on with the same command.
        overwrite: delete what the earlier command made, and nothing else.

    Yields:
        the folder, with the command's card in it.

    Raises:
        BadOption: both ``resume`` and ``overwrite``.
        BadRun: the folder cannot be used, with what it holds and what to do.
    """
    folder = Path(folder)
    _plan(folder, command, resume, overwrite)
    with ExitStack() as stack:
        try:
            stack.enter_context(claimed(folder))
        except OSError as error:
            raise _refused(folder, error) from error
        # again: another command may have come between
        old, goes_on = _plan(folder, command, resume, overwrite)
        if old is not None and goes_on:
            yield Outputs(folder, old, resumed=True)
            return
        if old is not None:
            _clear(folder, old)
        outputs = Outputs(folder, _Record(command.name, command.holds), resumed=False)
        outputs.write(command.file, _text(command.card))
        yield outputs


# ---- what may be done with a folder -------------------------------------------------


def _plan(
    folder: Path, command: Command, resume: bool, overwrite: bool
) -> tuple[_Record | None, bool]:
    """The list of the earlier command, and whether that command goes on."""
    if resume and overwrite:
        raise BadOption("--resume goes on, --overwrite starts anew: give one of them")
    try:
        record, goes_on = _judge(folder, command, resume, overwrite)
        names = (command.file, *command.wanted)
        _check_free(folder, names, record or _Record("", ""))
    except (OSError, ValueError) as error:
        if isinstance(error, BadRun):
            raise
        raise _refused(folder, error) from error
    return record, goes_on


def _judge(
    folder: Path, command: Command, resume: bool, overwrite: bool
) -> tuple[_Record | None, bool]:
    if not _reach(folder):
        if resume:
            raise BadRun(folder, "nothing to resume", "there is no such folder")
        return None, False
    for name in KEPT_OUT - {LIST}:
        path = folder / name
        if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
            raise _in_the_way(folder, name)
    record = _load(folder)
    if record is None:
        if all(path.name in KEPT_OUT for path in folder.iterdir()):
            return None, False  # empty, or left in the moment of its first start
        if resume:
            raise BadRun(folder, "nothing to resume", f"it has no {LIST}")
        raise BadRun(folder, "folder in use", "it holds something else; name another")
    if record.clearing or not _begun(folder, record) or overwrite:
        return record, False
    if resume:
        _check_same(folder, record, command)
        return record, True
    raise BadRun(
        folder, "folder in use", f"it holds {record.holds}; go on with --resume, renew "
        "with --overwrite, or name another --out",
    )  # fmt: skip


def _reach(folder: Path) -> bool:
    """Whether the folder is there; if it is not, whether it could be made."""
    if folder.is_symlink() and not folder.exists():
        raise BadRun(folder, "no folder", "it is a link to something that is not there")
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        own = there == folder
        detail = "there is a file of this name" if own else f"{there} is none"
        raise BadRun(folder, "no folder", detail)
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadRun(folder, "cannot be written", "no permission")
    return there == folder


def _begun(folder: Path, record: _Record) -> bool:
    """Whether anything of a command is there; its list alone is nothing yet."""
    files = (name for name in record.files if not name.endswith(PARTIAL))
    trees = (name for tree in record.folders for name in _files_below(folder, tree))
    return any(os.path.lexists(folder / name) for name in (*files, *trees))


def _check_same(folder: Path, record: _Record, command: Command) -> None:
    if record.command != command.name:
        raise BadRun(folder, "another command", f"it holds {record.holds}")
    was, now = _read_card(folder, command), json.loads(_text(command.card))
    differ = sorted(k for k in was.keys() | now.keys() if was.get(k) != now.get(k))
    if differ:
        changes = (f"{k} was {was.get(k)!r}, is {now.get(k)!r}" for k in differ)
        raise BadRun(folder, "another command", "; ".join(changes))


def _read_card(folder: Path, command: Command) -> dict:
    path, then = folder / command.file, "renew the folder with --overwrite"
    if not path.is_file() or path.is_symlink():
        what = "is no file" if os.path.lexists(path) else "is missing"
        raise BadRun(folder, "nothing to resume", f"its {path.name} {what}; {then}")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        card = None
    if not isinstance(card, dict):
        raise BadRun(folder, "broken card", f"{path.name} is no JSON object; {then}")
    return card


def _check_free(folder: Path, names: Iterable[str], record: _Record) -> None:
    """Refuse what is not ours where a file or folder of ours is to be."""
    for name in names:
        for inner in list(Path(name).parents)[-2::-1]:
            _check_folder(folder, inner.as_posix())
        if name.endswith("/"):
            _check_folder(folder, name.rstrip("/"))
            below = _files_below(folder, name)
            for other in (n for n in below if not record.owns(n)):
                raise _in_the_way(folder, other)
            continue
        for file in (name, name + PARTIAL):
            path = folder / file
            here = os.path.lexists(path)
            if here and not (record.owns(file) and path.is_file()):
                raise _in_the_way(folder, file)
            if path.is_symlink():
                raise BadRun(folder, "in the way", f"{file} is a link; remove it")


def _check_folder(folder: Path, name: str) -> None:
    path = folder / name
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        what = "a link" if path.is_symlink() else "no folder"
        raise BadRun(
            folder, "in the way", f"{name} is {what}; move it, or name another --out"
        )


def _in_the_way(folder: Path, name: str) -> BadRun:
    detail = f"{name} was not made by this command; move it, or name another --out"
    return BadRun(folder, "in the way", detail)


def _refused(folder: Path, error: Exception) -> BadRun:
    reason = error.strerror if isinstance(error, OSError) else None
    return BadRun(folder, "cannot be used", reason or str(error) or repr(error))


# ---- the list, and what it names ----------------------------------------------------


def _load(folder: Path) -> _Record | None:
    path = folder / LIST
    if not os.path.lexists(path):
        return None
    try:
        content = None if path.is_symlink() else json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not _is_sound(content):
        detail = f"{LIST}, the list of what was made here, cannot be read"
        raise BadRun(folder, "broken list", f"{detail}; name another --out")
    content |= {name: set(content[name]) for name in ("files", "folders")}
    return _Record(**content)


def _is_sound(content: object) -> TypeGuard[dict[str, Any]]:
    """Whether a list that was read is one of ours; nothing on it leads elsewhere."""
    names = {f.name for f in fields(_Record)}
    if not isinstance(content, dict) or content.keys() != names:
        return False
    if not all(isinstance(content[name], list) for name in ("files", "folders")):
        return False
    paths = [*content["files"], *content["folders"]]
    if not all(
        isinstance(s, str) for s in (content["command"], content["holds"], *paths)
    ):
        return False
    inside = all(
        Path(p).parts and ".." not in Path(p).parts and not Path(p).is_absolute()
        for p in paths
    )
    ends = all(name.endswith("/") for name in content["folders"])
    return inside and ends and isinstance(content["clearing"], bool)


def _store(folder: Path, record: _Record) -> None:
    content = asdict(record)
    content |= {k: sorted(content[k]) for k in ("files", "folders")}
    durable.replace(folder / LIST, _text(content))


def _clear(folder: Path, record: _Record) -> None:
    """Delete what the list names, and the folders that are empty then."""
    record.clearing = True
    _store(folder, record)
    names = set(record.files)
    names |= {n for tree in record.folders for n in _files_below(folder, tree)}
    parents = {p for n in names for p in Path(n).parents}
    for tree in record.folders:
        below = (Path(at).relative_to(folder) for at, _, _ in os.walk(folder / tree))
        parents |= {*below, Path(tree), *Path(tree).parents}
    linked = {p for p in parents if (folder / p).is_symlink()}
    for name in sorted(names):
        path = folder / name
        if linked.isdisjoint(Path(name).parents) and not _is_folder(path):
            path.unlink(missing_ok=True)
    for parent in sorted(parents - {Path()}, key=lambda p: -len(p.parts)):
        path = folder / parent
        within = linked.isdisjoint((parent, *parent.parents)) and path.is_dir()
        if within and not any(path.iterdir()):
            path.rmdir()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _files_below(folder: Path, name: str) -> list[str]:
    """Files and links below a folder, from ``folder``; no link is followed."""
    found = []
    if (folder / name).is_symlink():
        return found
    for at, folders, files in os.walk(folder / name):
        here = Path(at)
        links = [n for n in folders if (here / n).is_symlink()]
        paths = [here / n for n in (*files, *links)]
        found += [p.relative_to(folder).as_posix() for p in paths]
    return sorted(found)


def _text(content: dict) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"
