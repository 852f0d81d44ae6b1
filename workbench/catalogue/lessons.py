"""The lessons: their names, their notebooks, and whose claims they judge."""

import re
from collections.abc import Iterable
from pathlib import Path

from workbench.catalogue.clone import ROOT, sources
from workbench.catalogue.index import Entry, plain
from workbench.catalogue.pages import claims


def lessons() -> tuple[str, ...]:
    """The names of all lessons, as ``20_dpo``: of the clone, or as shipped."""
    names = {path.stem for path in sources(ROOT)}
    names = names or {row["notebook"] for row in claims()}
    return tuple(sorted(names))


def lesson_number(word: str, known: Iterable[str]) -> str | None:
    """The number of the lesson that a word names, None if it names none.

    Args:
        word: ``21``, ``21_links``, ``links`` or a path to the notebook.
        known: the names of the lessons; a number alone will do.
    """
    stem = re.sub(r"\.(py|ipynb)$", "", re.split(r"[/\\]", word.strip())[-1])
    asked = plain(stem)
    if asked.isdecimal():
        asked = f"{int(asked):02d}"
    for name in known:
        number, _, title = name.partition("_")
        if asked in (number, plain(name)) or (title and asked == plain(title)):
            return number
    return None


def notebook(number: str) -> Path | None:
    """The notebook of a lesson; None outside a clone, or if there is none yet."""
    built = sorted((ROOT / "notebooks").glob(f"{number}_*.ipynb"))
    written = [p for p in sources(ROOT) if p.stem.partition("_")[0] == number]
    return next(iter((*built, *written)), None)


def owners(rows: Iterable[dict[str, str]], entries: Iterable[Entry]) -> list[list[str]]:
    """For each judged claim the keys of the methods that it is about.

    Only methods of the claim's lesson and its studies: those that its statement or its
    paper names; if it names none, the one whose card cites the same paper; if no card
    does and no other method is named, the only method of its notebook. A claim that
    may be about several is about none.

    Args:
        rows: rows of ``claims``.
        entries: all methods.
    """
    everyone = tuple(entries)
    keys = _names(everyone)
    return [_owners(row, everyone, keys) for row in rows]


def _owners(
    row: dict[str, str], everyone: tuple[Entry, ...], keys: dict[str, set[str]]
) -> list[str]:
    number = row["notebook"].partition("_")[0]
    family = [e for e in everyone if e.card.notebook[:2] == number[:2]]
    lesson = {e.card.key: e for e in family}
    told = _named(f"{row['statement']}\n{row['paper']}", keys)
    named = [key for key in lesson if key in told]
    if named:
        return named
    cited = _identifiers(row["paper"])
    shared = [k for k, e in lesson.items() if cited & _identifiers(e.card.paper)]
    own = [e.card.key for e in family if e.card.notebook == number]
    alone = shared or ([] if told else own)  # named is another lesson's method
    return alone if len(alone) == 1 else []


def _names(entries: Iterable[Entry]) -> dict[str, set[str]]:
    """What methods are called, as ``plain`` text, and the keys of those called so."""
    keys: dict[str, set[str]] = {}
    for entry in entries:
        for name in entry.names:
            keys.setdefault(plain(name), set()).add(entry.card.key)
    return keys


def _named(text: str, keys: dict[str, set[str]]) -> set[str]:
    """The keys of the methods whose names stand in a text as words of their own.

    The longest name wins: a text on length-normalised DPO does not name DPO.
    """
    words = sorted(map(re.escape, keys), key=len, reverse=True)
    # in `plain` text a low line stands for spaces and every dash
    spelled = "|".join(word.replace("_", r"[\s_‐‑–—-]+") for word in words)
    found = re.finditer(rf"(?<![\w-])({spelled})(?![\w-])", text, re.IGNORECASE)
    return set().union(*(keys.get(plain(match.group()), set()) for match in found))


def _identifiers(paper: str) -> set[str]:
    """The arXiv numbers in a citation."""
    return set(re.findall(r"\b\d{4}\.\d{4,5}", paper))
