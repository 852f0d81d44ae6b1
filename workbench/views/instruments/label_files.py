"""A person's labels as a small file: kept, read again, and refused if it is strange.

The file lies in the working folder and holds the pairs too, so that labels of other
pairs are not taken for labels of these.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from workbench.core import durable

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,19}")
LARGEST = 10_000  # bytes
Pairs = Sequence[tuple[str, str]]
Answers = Sequence[int]


def label_file(name: str, folder: Path) -> Path:
    """Where the labels of a person lie.

    Args:
        name: a letter, then letters, digits, - and _, at most twenty.
        folder: the working folder.

    Raises:
        ValueError: another name; the message says what a name is.
    """
    if not NAME.fullmatch(name):
        raise ValueError(
            "a name is a letter and then letters, digits, - or _, at most twenty"
        )
    return folder / f"labels-{name}.json"


def working_folder(here: Path | None = None) -> Path:
    """Where labels are kept: the working folder, never the published lessons.

    Args:
        here: the folder of the kernel; the present one if None.
    """
    here = here or Path.cwd()
    published = here.name == "notebooks" and (here / "src").is_dir()
    if not published:
        return here
    work = here.parent / "work"
    work.mkdir(exist_ok=True)
    return work


def keep(path: Path, pairs: Pairs, answers: Answers) -> None:
    """Write labels.

    Args:
        path: what `label_file` returns.
        pairs: the words of both reviews of every pair.
        answers: to the first of them, 1 for the first review, −1 for the second.

    Raises:
        OSError: the file cannot be written.
    """
    content = {"pairs": [list(pair) for pair in pairs], "answers": list(answers)}
    durable.replace(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def read(path: Path, pairs: Pairs) -> tuple[int, ...]:
    """The answers that a file holds.

    Args:
        path: what `label_file` returns.
        pairs: the pairs that the answers have to be about.

    Raises:
        ValueError: no labels of these pairs stand there.
        OSError: the file cannot be read.
    """
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path.name} is too large to hold labels")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        met, answers = content["pairs"], content["answers"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path.name} holds no labels") from error
    if met != [list(pair) for pair in pairs]:
        raise ValueError(f"{path.name} holds labels of other pairs")
    right = isinstance(answers, list) and len(answers) <= len(pairs)
    if not right or any(type(a) is not int or a not in (1, -1) for a in answers):
        raise ValueError(f"{path.name} holds answers that are neither 1 nor -1")
    return tuple(answers)


def everybody(folder: Path, pairs: Pairs) -> dict[str, tuple[int, ...]]:
    """The labels of all people in a folder, by name; strange files are left out.

    Args:
        folder: the working folder.
        pairs: the pairs that the answers have to be about.
    """
    found = {}
    for path in sorted(folder.glob("labels-*.json")):
        name = path.stem.removeprefix("labels-")
        try:
            found[name] = read(label_file(name, folder), pairs)
        except (ValueError, OSError):
            continue
    return found
