"""Who wrote what: the papers that cards and claims name, and their BibTeX."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
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
FILE = "workbench.bib"
# BibTeX counts a brace behind a backslash too, so braces are spelled out.
_SPECIAL = {sign: f"\\{sign}" for sign in "&%#_$"} | {
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}
# Of papers that a card or a claim names and no lesson's references do.
TITLES = {
    "1506.02438": "High-dimensional continuous control using generalized advantage "
    "estimation",
    "1706.04599": "On calibration of modern neural networks",
    "1707.06347": "Proximal policy optimization algorithms",
    "1909.08593": "Fine-tuning language models from human preferences",
    "2009.01325": "Learning to summarize from human feedback",
    "2009.07839": "Text generation by learning from demonstrations",
    "2305.16217": "Beyond reward: offline preference-guided policy optimization",
    "2310.02743": "Reward model ensembles help mitigate overoptimization",
    "2403.17031": "The N+ implementation details of RLHF with PPO",
    "2405.06639": "Value augmented sampling for language model alignment and "
    "personalization",
    "2405.19320": "Value-incentivized preference optimization",
    "2406.11827": "WPO: enhancing RLHF with weighted preference optimization",
    "2408.10075": "Personalizing reinforcement learning from human feedback with "
    "variational preference learning",
    "Bradley & Terry 1952": "Rank analysis of incomplete block designs: I. The method "
    "of paired comparisons",
    "Mitchell 2023": "A note on DPO with noisy preferences and relationship to IPO",
    "Plackett 1975": "The analysis of permutations",
    "Schulman 2020": "Approximating KL divergence",
    "Ziebart 2010": "Modeling purposeful adaptive behavior with the principle of "
    "maximum causal entropy",
}


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
    def number(self) -> str:
        """By what its title is found: its number there, or what the text calls it."""
        return self.arxiv or self.cite

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
    """`Paper.number` -> title, as the references of the lessons give it."""
    found: dict[str, str] = {}
    for path in sorted((root / "notebooks" / "src").glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        text = re.sub(r"\n#\s*", " ", text)
        for number, title in _TITLED.findall(text):
            title = re.sub(r"\\(.)", r"\1", " ".join(title.split()))
            if len(title) > len(found.get(number, "")):
                found[number] = title
    return TITLES | found


def bibtex(paper: Paper, title: str = "") -> str:
    """One BibTeX entry; a title that is not known is left out."""
    names = re.split(r",\s*(?:and\s|&\s)?|\s&\s|\sand\s", paper.authors)
    last = re.fullmatch(r"(.+?)\s+et al\.", names[-1])
    names = [*names[:-1], last[1], "others"] if last else names
    fields = {"author": " and ".join(map(_author, names)), "year": paper.year}
    if title:
        fields["title"] = f"{{{_tex(title)}}}"
    if paper.arxiv:
        fields |= {"eprint": paper.arxiv, "archivePrefix": "arXiv", "url": paper.url}
    elif paper.note and paper.note != title:
        fields["note"] = _tex(paper.note)
    body = "".join(f"  {key} = {{{value}}},\n" for key, value in fields.items())
    return f"@misc{{{_name(paper)},\n{body}}}"


def library(found: Iterable[Paper], known: Mapping[str, str]) -> str:
    """A file of BibTeX with an entry for each paper.

    Args:
        found: the papers, each once.
        known: `titles`.
    """
    entries = (bibtex(paper, known.get(paper.number, "")) for paper in found)
    return "\n\n".join(entries) + "\n"


def _name(paper: Paper) -> str:
    """The key of an entry: of two papers with one number or one cite there is one."""
    first = re.split(r",|\s&|\sand\s|\set al", paper.authors)[0]
    named = f"{first}{paper.year}-{paper.arxiv}" if paper.arxiv else paper.cite
    return _plain(named)


def _plain(text: str) -> str:
    """Lower-case ASCII with underscores: what every program takes as a key."""
    bare = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return slug(bare).replace("-", "_").lower()


def _author(name: str) -> str:
    """A name as BibTeX reads it: initials are no surname, two words may be one."""
    initials = re.match(r"(?:\w\.\s*)+", name)
    first, rest = (
        (initials[0].strip(), name[initials.end() :]) if initials else ("", name)
    )
    rest = f"{{{_tex(rest)}}}" if " " in rest else _tex(rest)
    return f"{first} {rest}".strip()


def distinct(found: Iterable[Paper]) -> list[Paper]:
    """Each paper once, by author and year; the first mention names it."""
    first: dict[str, Paper] = {}
    for paper in found:
        first.setdefault(paper.key, paper)
    return sorted(first.values(), key=lambda p: (p.authors.casefold(), p.year))


def _tex(value: str) -> str:
    """A text that LaTeX prints as it is, on one line."""
    line = " ".join(value.split())
    return re.sub(r"[&%#_${}~^\\]", lambda found: _SPECIAL[found[0]], line)
