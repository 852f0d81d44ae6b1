"""Who wrote what: the papers that cards and claims name, and their BibTeX."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workbench.book.inert import slug

ARXIV = re.compile(r"\d{4}\.\d{4,5}")
_NAMED = re.compile(
    r"(?P<authors>[^;()\d]+?),? (?P<year>(?:19|20)\d\d)(?: \((?P<inside>[^)]*)\))?"
)
_TITLED = re.compile(
    r"\(https://arxiv\.org/abs/(\d{4}\.\d{4,5})\),?\s+\*((?:[^*\\]|\\.)+)\*"
)


@dataclass(frozen=True)
class Paper:
    """A paper as a card or a claim names it.

    Attributes:
        authors: such as "Rafailov et al.".
        year: four digits.
        arxiv: its number there, may be empty.
        note: what else stands in the brackets.
    """

    authors: str
    year: str
    arxiv: str = ""
    note: str = ""

    @property
    def key(self) -> str:
        """Its anchor in the bibliography: the same paper has the same."""
        return slug(f"arxiv-{self.arxiv}" if self.arxiv else self.cite)

    @property
    def cite(self) -> str:
        """What the text calls it."""
        return f"{self.authors} {self.year}"

    @property
    def url(self) -> str:
        """Where it can be read; empty if that is not known."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""


def named(text: str) -> list[Paper]:
    """The papers in a text such as "Rafailov et al. 2023 (2305.18290), section 4"."""
    found = []
    for match in _NAMED.finditer(text):
        authors = re.sub(r"^(?:[,;\s]|and\s|the\s[A-Z]+\sform)+", "", match["authors"])
        inside = match["inside"] or ""
        number = ARXIV.search(inside)
        if authors:
            note = "" if number else inside
            found.append(
                Paper(authors, match["year"], number[0] if number else "", note)
            )
    return found


def titles(root: Path) -> dict[str, str]:
    """arXiv number -> title, as the references of the lessons give it."""
    found: dict[str, str] = {}
    for path in sorted((root / "notebooks" / "src").glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        text = re.sub(r"\n#\s*", " ", text)
        for number, title in _TITLED.findall(text):
            title = re.sub(r"\\(.)", r"\1", " ".join(title.split()))
            if len(title) > len(found.get(number, "")):
                found[number] = title
    return found


def bibtex(paper: Paper, title: str = "") -> str:
    """One BibTeX entry; a title that is not known is left out."""
    others = re.sub(r"\s+et al\.$", " and others", paper.authors)
    authors = re.sub(r",\s*(?:and\s|&\s)?|\s&\s", " and ", others)
    first = slug(re.split(r" and | et al", paper.authors)[0].split(",")[0]).lower()
    fields = {"author": authors, "year": paper.year}
    if title:
        fields["title"] = f"{{{title}}}"
    if paper.arxiv:
        fields |= {"eprint": paper.arxiv, "archivePrefix": "arXiv", "url": paper.url}
    elif paper.note:
        fields["note"] = paper.note
    number = paper.arxiv.replace(".", "_")
    name = f"{first}{paper.year}" + (f"_{number}" if number else "")
    body = "".join(f"  {key} = {{{_tex(value)}}},\n" for key, value in fields.items())
    return f"@misc{{{name},\n{body}}}"


def distinct(found: Iterable[Paper]) -> list[Paper]:
    """Each paper once, by author and year; the first mention names it."""
    first: dict[str, Paper] = {}
    for paper in found:
        first.setdefault(paper.key, paper)
    return sorted(first.values(), key=lambda p: (p.authors.casefold(), p.year))


def _tex(value: str) -> str:
    return re.sub(r"([&%#_$])", r"\\\1", value) if "http" not in value else value
