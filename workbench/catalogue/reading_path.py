"""The reading path of README.md, made from the headers and titles of the notebooks."""

import re
from dataclasses import dataclass
from pathlib import Path

from workbench.catalogue.clone import ROOT, sources
from workbench.catalogue.markdown import cell, grid


@dataclass(frozen=True)
class Entry:
    """A lesson or a study.

    Attributes:
        number: such as "20" or "20a".
        name: the file's name without its ending.
        part: where it stands in the series.
        path: core, elective, or empty for a study.
        needs: lessons to have done before.
        title, question: the two halves of its heading.
    """

    number: str
    name: str
    part: str
    path: str
    needs: tuple[str, ...]
    title: str
    question: str

    @property
    def link(self) -> str:
        """To the committed notebook."""
        return f"[{cell(self.title)}](notebooks/{self.name}.ipynb)"


def entry(path: Path) -> Entry:
    """Read one source; what its header does not say is empty."""
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition("# ---\n\n")
    found = re.search(r"^# # (.+(?:\n# \S.*)*)", rest, re.MULTILINE)
    heading = re.sub(r"\n# ", " ", found[1]) if found else path.stem
    lesson = _field(head, "path")
    # a study's heading is its question
    title, _, question = heading.partition(": " if lesson else " · ")
    return Entry(
        number=path.stem.partition("_")[0],
        name=path.stem,
        part=_field(head, "part"),
        path=lesson,
        needs=tuple(re.findall(r'"(\d\d)"', _field(head, "needs"))),
        title=title,
        question=question[:1].upper() + question[1:],
    )


def _field(head: str, name: str) -> str:
    found = re.search(rf"^#\s+{name}: (.+)$", head, re.MULTILINE)
    return found[1].strip().strip('"') if found else ""


def reading_path(root: Path = ROOT) -> str:
    """Three tables: the core path, the electives, the studies beside them."""
    entries = [entry(path) for path in sources(root)]
    parts = []
    for path, words in (("core", "**Core path**, in this order:"),
                        ("elective", "**Electives**:")):  # fmt: skip
        rows = [
            (e.part, e.link, cell(e.question), ", ".join(e.needs), _studies(e, entries))
            for e in entries
            if e.path == path
        ]
        header = ("Part", "Lesson", "Question", "Needs", "Studies")
        parts += [words, "", grid(header, rows), ""]
    rows = [(e.link, cell(e.question)) for e in entries if not e.path]
    parts += [
        "**Studies** reproduce a figure of a paper, or test whether its claim holds:",
        "",
        grid(("Study", "Question"), rows),
    ]
    return "\n".join(parts)


def _studies(lesson: Entry, entries: list[Entry]) -> str:
    beside = [e for e in entries if not e.path and e.number[:2] == lesson.number]
    return ", ".join(f"[{e.number}](notebooks/{e.name}.ipynb)" for e in beside)
