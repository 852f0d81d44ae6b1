"""The student's edition: lessons without solutions and outputs, to hand out.

Every cell that is left still runs: the house forbids the use of a name that a solution
defines. Links between lessons stay links where the other lesson is in the folder too,
and become plain words where it is not.
"""

import copy
import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.core.claimed import LOCK, claimed
from workbench.core.errors import BadOption, BadRun
from workbench.runner import build, series
from workbench.teach.blocks import is_solution

GLOSSARY = "GLOSSARY.md"
RECORD = ".edition.json"  # what this command wrote, to know what others changed
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


def chosen(root: Path, wanted: Sequence[str] = ()) -> list[build.Source]:
    """The lessons that a teacher names; all lessons, and no study, if none is named.

    Args:
        root: the clone.
        wanted: numbers, names, ranges such as ``20-29``; ``20a`` is a study.

    Raises:
        FileNotFoundError: no notebook has this name; the message suggests one.
        SourceError: a notebook's source is broken.
    """
    names = [part for word in wanted for part in word.split(",") if part]
    found = [build.read(path) for path in series.select(root, names)]
    return found if names else [source for source in found if source.kind != "study"]


def student_notebook(source: build.Source, there: Collection[str]) -> Any:
    """A lesson as students get it.

    Args:
        source: the lesson.
        there: names of the notebooks that lie in the same folder.

    Returns:
        A new notebook: no solutions, no outputs, links that lead somewhere.
    """
    notebook = bare(source)
    notebook.cells = [cell for cell in notebook.cells if not is_solution(cell)]
    relink(notebook, there)
    return notebook


def bare(source: build.Source) -> Any:
    """A copy of a lesson, solutions included, that says which lesson it is."""
    notebook = copy.deepcopy(source.notebook)
    told = {"title": source.title, "lesson": source.name}
    notebook.metadata["workbench"] = told
    return notebook


def relink(
    notebook: Any, there: Collection[str], address: str = "{name}.ipynb"
) -> None:
    """Let every link of a notebook lead to a file of the edition, or be plain words.

    Args:
        notebook: changed in place.
        there: names of the notebooks in the edition; the glossary lies beside each.
        address: of a notebook, seen from another one.
    """
    known = {f"{name}.ipynb": address.format(name=name) for name in there}
    known[f"../{GLOSSARY}"] = GLOSSARY
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, known)


def linked(text: str, known: Mapping[str, str]) -> str:
    """Markdown with its links renamed, and unlinked where nothing is known of them.

    Args:
        text: Markdown.
        known: address as it stands, to the address that it has in the edition; an
            address on the web or within the page is left as it is.
    """

    def changed(found: re.Match) -> str:
        words, address = found.groups()
        if "://" in address or address.startswith(("#", "mailto:", "attachment:")):
            return found[0]
        file, mark, place = address.partition("#")
        if file not in known:
            return words if re.search(r"\.(ipynb|md)$", file) else found[0]
        return f"[{words}]({known[file]}{mark}{place})"

    return LINK.sub(changed, text)


def glossary_text(root: Path, there: Collection[str]) -> str | None:
    """The glossary with links that fit the edition; None if the clone has none."""
    path = root / GLOSSARY
    if not path.is_file():
        return None
    known = {f"notebooks/{name}.ipynb": f"{name}.ipynb" for name in there}
    return linked(path.read_text(encoding="utf-8"), known)


def plain_files(root: Path, sources: Sequence[build.Source]) -> dict[str, bytes]:
    """The files of a plain edition: notebooks and the glossary, by name."""
    there = {source.name for source in sources}
    files = {f"{s.name}.ipynb": data_of(student_notebook(s, there)) for s in sources}
    glossary = glossary_text(root, there)
    return files | ({} if glossary is None else {GLOSSARY: glossary.encode()})


def data_of(notebook: Any) -> bytes:
    """A notebook as a file: sorted keys, so that equal means the same bytes."""
    import nbformat

    text = nbformat.writes(notebook, indent=1, sort_keys=True, ensure_ascii=False)
    return (text.rstrip("\n") + "\n").encode()


def write(folder: Path, files: Mapping[str, bytes], overwrite: bool = False) -> None:
    """Write an edition; an earlier one that nobody changed is replaced.

    Args:
        folder: made if it is not there.
        files: relative path to content.
        overwrite: replace files of these names whatever they hold. Files of other
            names are never touched.

    Raises:
        BadOption: the folder holds something else; nothing has been written.
        BadRun: it is no folder, or another process writes into it.
    """
    if folder.exists() and not folder.is_dir():
        raise BadRun(folder, "no folder", "there is a file of this name")
    earlier = _record(folder)
    if not overwrite:
        _refuse_others(folder, files, earlier)
    with claimed(folder):
        for name, hashed in earlier.items():
            path = folder / name
            if name not in files and _hash_of(path) == hashed:
                path.unlink()
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.partial")
            partial.write_bytes(data)
            partial.replace(path)
        made = {name: _hash(data) for name, data in files.items()}
        text = json.dumps(made, indent=1, sort_keys=True) + "\n"
        (folder / RECORD).write_text(text, encoding="utf-8")


def _refuse_others(
    folder: Path, files: Mapping[str, bytes], earlier: Mapping[str, str]
) -> None:
    """Raise if a file would be lost, or the folder is somebody's."""
    held = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    foreign = sorted(set(held) - {RECORD, LOCK})
    if foreign and not earlier:
        shown = ", ".join(foreign[:3]) + (" …" if len(foreign) > 3 else "")
        raise BadOption(
            f"{folder} holds other files ({shown}): name a new folder, or add "
            "--overwrite, which replaces only files of the edition's names"
        )
    lost = [
        name
        for name in files
        if (folder / name).exists() and _hash_of(folder / name) != earlier.get(name)
    ]
    if lost:
        raise BadOption(
            f"{folder / lost[0]} was changed since it was written: name a new folder, "
            "or add --overwrite to replace it"
        )


def _record(folder: Path) -> dict[str, str]:
    """What an earlier call wrote; a damaged record says nothing."""
    try:
        made = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(made, dict):
        return {}
    # the record lies in a folder that others write into: it names files inside it only
    return {
        name: hashed
        for name, hashed in made.items()
        if isinstance(hashed, str) and not Path(name).is_absolute()
        and ".." not in Path(name).parts
    }  # fmt: skip


def _hash_of(path: Path) -> str | None:
    try:
        return _hash(path.read_bytes())
    except OSError:
        return None


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
