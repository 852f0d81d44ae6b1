"""One page for each method: card, mathematics, source, and where it is judged."""

import html
import re
from collections.abc import Mapping
from pathlib import Path

from workbench.book.chapters import Chapter
from workbench.book.inert import (
    Markup,
    directive,
    link,
    listing,
    literal,
    raw,
    spoken,
    table,
)  # fmt: skip
from workbench.book.judged import Claim
from workbench.book.papers import bibtex, named
from workbench.catalogue import Entry, family_title
from workbench.catalogue.lessons import owners
from workbench.catalogue.settings import settings
from workbench.catalogue.skeleton import HEADINGS
from workbench.catalogue.source import Unclear, find

UP = "../"  # from a page in `methods/` to the book's root


def pages(
    entries: Mapping[str, Entry], chapters: list[Chapter], titles: Mapping[str, str]
) -> dict[str, str]:
    """Path -> Markdown of every method's page, and of their index.

    Args:
        entries: the methods by key.
        chapters: the chapters, some of which train and judge them.
        titles: of `papers.titles`.
    """
    found = {"methods/index.md": _index(entries)}
    judged = _judged(entries, chapters)
    for key, entry in entries.items():
        text = _page(entry, entries, chapters, judged[key], titles)
        found[f"methods/{key}.md"] = text
    return found


def _judged(
    entries: Mapping[str, Entry], chapters: list[Chapter]
) -> dict[str, list[Claim]]:
    """The claims that are about each method."""
    every = [claim for chapter in chapters for claim in chapter.claims]
    found: dict[str, list[Claim]] = {key: [] for key in entries}
    rows = [claim.row for claim in every]
    for claim, keys in zip(every, owners(rows, entries.values()), strict=True):
        for key in keys:
            found[key].append(claim)
    return found


def _index(entries: Mapping[str, Entry]) -> str:
    parts, before = ["# Methods"], ""
    parts.append(
        "Each objective with its minimiser, its known mistakes, its settings with "
        "where they come from, and its source."
    )
    rows: dict[str, list[dict]] = {}
    for key, entry in entries.items():
        rows.setdefault(family_title(entry.family), []).append(
            {
                "key": link(f"{key}.html", Markup(f"<code>{html.escape(key)}</code>")),
                "title": entry.card.title,
                "paper": entry.card.paper,
            }
        )
    head = {"key": "Method", "title": "Name", "paper": "Paper"}
    for family, lines in rows.items():
        if family != before:
            parts.append(f"## {literal(family)}")
        parts.append(raw(table(head, lines)))
        before = family
    names = "\n".join(f"{key} <{key}>" for key in entries)
    return "\n\n".join([*parts, directive("toctree", names, ":hidden:")])


def _page(
    entry: Entry,
    entries: Mapping[str, Entry],
    chapters: list[Chapter],
    claims: list[Claim],
    titles: Mapping[str, str],
) -> str:
    card = entry.card
    summary = entry.doc.partition("\n")[0]
    parts = [f"# {literal(card.key)}: {literal(card.title)}", spoken(summary)]
    parts.append(
        raw(table({"what": "Card", "told": ""}, _card(entry, entries, chapters)))
    )
    parts += _sections(entry)
    parts += _settings(entry)
    if claims:
        parts += ["## Claims", raw(claims_table(claims, UP))]
    parts += _source(entry)
    parts += ["## Paper", *(_paper(text, titles) for text in named(card.paper))]
    return "\n\n".join(parts)


def _card(
    entry: Entry, entries: Mapping[str, Entry], chapters: list[Chapter]
) -> list[dict]:
    card = entry.card
    parents = [
        link(f"{key}.html", key) if key in entries else html.escape(key)
        for key in card.parents
    ]
    papers = [link(f"{UP}bibliography.html#{p.key}", p.cite) for p in named(card.paper)]
    near = [c for c in chapters if c.name.partition("_")[0] == card.notebook]
    lessons = [link(f"{UP}{c.name}.html", c.lesson.title) for c in near if c.notebook]
    told = {
        "Family": family_title(entry.family),
        "Compared with": Markup(", ".join(parents)) or entry.compared,
        "Needs": ", ".join(card.needs),
        "Trained by": entry.loop or "nothing is trained",
        "Exact check": card.check,
        "The paper says": card.claim,
        "Lesson": Markup(", ".join(lessons)) or card.notebook,
        "Paper": Markup(", ".join(papers)) or card.paper,
    }
    return [{"what": name, "told": value} for name, value in told.items() if value]


def _sections(entry: Entry) -> list[str]:
    """The headings of the docstring, as it is laid out there."""
    parts = []
    for heading, text in sections(entry.doc).items():
        parts.append(f"## {literal(heading)}")
        if heading == "Objective":
            parts.append(listing(text))
        elif heading == "Known mistakes" and entry.mistakes:
            parts.append(
                "\n".join(
                    f"{n}. {spoken(_begun(m))}" for n, m in entry.mistakes.items()
                )
            )
        else:
            parts.append(spoken(_begun(text)))
    return parts


def sections(doc: str) -> dict[str, str]:
    """Heading -> text of a method's docstring, with its lines."""
    found = [m for _, pattern in HEADINGS for m in re.finditer(pattern, doc, re.M)]
    found.sort(key=lambda match: match.start())
    ends = [match.start() for match in found[1:]] + [len(doc)]
    return {
        match.group().rstrip(":"): _dedented(doc[match.end() : end])
        for match, end in zip(found, ends, strict=True)
    }


def _dedented(text: str) -> str:
    return "\n".join(
        re.sub(r"^ {1,4}", "", line) for line in text.strip("\n").split("\n")
    )


def _begun(text: str) -> str:
    """With a capital, unless it begins with a symbol."""
    word = re.match(r"[a-z]{2,}\b|a\b", text)
    return text[:1].upper() + text[1:] if word else text


def _settings(entry: Entry) -> list[str]:
    rows = [
        {
            "name": Markup(f"<code>{html.escape(each.name)}</code>"),
            "default": "required" if each.required else f"{each.default}",
            "source": each.source,
            "meaning": each.meaning,
        }
        for each in settings(entry.module)
    ]
    if not rows:
        return []
    head = {"name": "Setting", "default": "Default", "source": "Where it is from"}
    return ["## Settings", raw(table(head | {"meaning": "Meaning"}, rows))]


def claims_table(claims: list[Claim], up: str = "") -> str:
    """Claims with links to their anchors.

    Args:
        claims: of any chapters.
        up: from the page to the book's root.
    """
    rows = [
        {
            "where": link(up + claim.address, claim.chapter.partition("_")[0]),
            "statement": claim.statement,
            "expected": claim.expected,
            "seen": claim.seen,
            "verdict": claim.verdict,
        }
        for claim in claims
    ]
    head = {"where": "In", "statement": "We test", "expected": "Expected"}
    return table(head | {"seen": "Seen", "verdict": "Verdict"}, rows)


def _source(entry: Entry) -> list[str]:
    try:
        text = find(entry.module).text
    except Unclear:
        return []
    path = Path(*entry.module.split(".")).with_suffix(".py").as_posix()
    told = f"{path}, {len(text.splitlines())} lines"
    return ["## Source", directive("dropdown", listing(text, "python"), told=told)]


def _paper(paper, titles: Mapping[str, str]) -> str:
    title = titles.get(paper.number, "")
    words = literal(paper.cite) + (f", *{literal(title)}*" if title else "")
    if paper.url:
        words += f", [arXiv {paper.arxiv}]({paper.url})"
    entry = directive(
        "dropdown", listing(bibtex(paper, title), "bibtex"), told="BibTeX"
    )
    return f"{words}.\n\n{entry}"
