"""Where one looks something up: gallery, claims by paper, glossary, bibliography."""

import html
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from workbench.book.chapters import Chapter
from workbench.book.inert import (
    Markup,
    directive,
    download,
    link,
    literal,
    prose,
    raw,
)
from workbench.book.judged import Claim
from workbench.book.method_chapters import claims_table
from workbench.book.papers import FILE, Paper, bibtex, distinct, named
from workbench.catalogue import Entry

RESULTS = "results"
_WORD = re.compile(r"\| \*\*(.+?)\*\* \|(.*)\|\s*$")


def gallery(chapters: list[Chapter], tables: Mapping[str, list[str]]) -> str:
    """Every figure with its caption, the command that makes it and its data.

    Args:
        chapters: the chapters.
        tables: name of a chapter -> addresses of its tables.
    """
    parts = [
        "# Gallery",
        "Every figure of the book. A thumbnail leads to its place, where it is live; "
        "the command makes it again, and the tables hold its numbers.",
    ]
    for chapter in chapters:
        if chapter.pictures:
            parts.append(f"## {literal(chapter.lesson.title)}")
            parts.append(raw(_wall(chapter, tables.get(chapter.name, []))))
    return "\n\n".join(parts)


def _wall(chapter: Chapter, tables: list[str]) -> str:
    number = chapter.name.partition("_")[0]
    files = ", ".join(download(path, Path(path).name) for path in tables)
    papers = distinct(paper for claim in chapter.claims for paper in claim.papers)
    after = ", ".join(link(f"bibliography.html#{p.key}", p.cite) for p in papers)
    told = [f"<code>workbench run {html.escape(number)}</code>"]
    told += [f"tables: {files}"] if files else []
    told += [f"after {after}"] if after else []
    shown = [
        f'<li><a href="{picture.address}"><img src="{picture.source}" '
        f'alt="{html.escape(picture.alt)}" loading="lazy">'
        f"<span>Figure {picture.number}</span></a>"
        f"<p>{html.escape(picture.caption)}</p></li>"
        for picture in chapter.pictures
    ]
    return f'<p>{" · ".join(told)}</p><ul class="wb-wall">{"".join(shown)}</ul>'


def by_paper(chapters: list[Chapter]) -> str:
    """Every claim below the paper that it follows; ours come last."""
    groups: dict[str, list[Claim]] = {}
    papers = distinct(
        paper
        for chapter in chapters
        for claim in chapter.claims
        for paper in claim.papers
    )
    for chapter in chapters:
        for claim in chapter.claims:
            keys = [paper.key for paper in claim.papers] or [""]
            for key in dict.fromkeys(keys):
                groups.setdefault(key, []).append(claim)
    parts = [
        "# Claims by paper",
        "A sentence after a paper, or of our own, and what was seen here. The number "
        "leads to the cell that judged it. *Reproduced* when the whole 95 % interval "
        "over seeds lies on the claimed side, *contradicted* when it lies on the "
        "other, *undecided* when it straddles.",
    ]
    for paper in papers:
        parts.append(f"## {literal(paper.cite)}")
        about = link(f"bibliography.html#{paper.key}", "Reference and BibTeX")
        parts.append(raw(f"<p>{about}</p>{claims_table(groups[paper.key])}"))
    if groups.get(""):
        parts += ["## Ours", raw(claims_table(groups[""]))]
    if not groups:
        parts.append("No notebook has judged a claim yet.")
    return "\n\n".join(parts)


def bibliography(
    entries: Mapping[str, Entry], chapters: list[Chapter], titles: Mapping[str, str]
) -> str:
    """Every paper with the methods and chapters that follow it, and its BibTeX."""
    shown = [
        _reference(paper, entries, chapters, titles)
        for paper in distinct(cited(entries, chapters))
    ]
    return "\n\n".join(
        [
            "# Bibliography",
            raw(
                "<p>The papers that methods and claims follow. "
                f"{download(FILE, 'All of them as one BibTeX file')}.</p>"
            ),
            raw(f'<dl class="wb-papers">{"".join(shown)}</dl>'),
        ]
    )


def cited(entries: Mapping[str, Entry], chapters: list[Chapter]) -> Iterable[Paper]:
    """The papers of all cards, then of all claims."""
    for entry in entries.values():
        yield from named(entry.card.paper)
    for chapter in chapters:
        for claim in chapter.claims:
            yield from claim.papers


def _reference(
    paper: Paper,
    entries: Mapping[str, Entry],
    chapters: list[Chapter],
    titles: Mapping[str, str],
) -> str:
    title = titles.get(paper.number, "")
    methods = [
        link(f"methods/{key}.html", Markup(f"<code>{html.escape(key)}</code>"))
        for key, entry in entries.items()
        if paper.key in {found.key for found in named(entry.card.paper)}
    ]
    near = [
        link(f"{chapter.name}.html", chapter.name.partition("_")[0])
        for chapter in chapters
        if any(paper.key == p.key for claim in chapter.claims for p in claim.papers)
    ]
    words = html.escape(paper.cite) + (
        f", <em>{html.escape(title)}</em>" if title else ""
    )
    words += f", {link(paper.url, f'arXiv {paper.arxiv}')}" if paper.url else ""
    note = paper.note if paper.note != title else ""
    words += f" ({html.escape(note)})" if note else ""
    told = [f"Methods: {', '.join(methods)}."] if methods else []
    told += [f"Claims in {', '.join(near)}."] if near else []
    entry = html.escape(bibtex(paper, title))
    return (
        f'<dt id="{paper.key}">{words}</dt><dd>{" ".join(told)}'
        f"<details><summary>BibTeX</summary><pre>{entry}</pre></details></dd>"
    )


def glossary(text: str) -> str:
    """GLOSSARY.md with an anchor for each word: its tables become lists of terms."""
    found, words = [], []
    for line in prose(text).split("\n"):
        match = _WORD.match(line)
        if match:
            cells = re.split(r"(?<!\\)\|", match[2])
            words.append((match[1], *(cell.strip() for cell in cells)))
            continue
        if words:
            found += [_terms(words), ""]
            words = []
        if not re.match(r"\| *(word|-)", line):
            found.append(line)
    return "\n".join([*found, _terms(words)] if words else found)


def _terms(words: list[tuple[str, ...]]) -> str:
    lines = []
    for word, meaning, *example in words:
        more = f". *Example:* {example[0]}" if example and example[0] else ""
        # `glossary` reads a colon as the key by which a term is sorted
        lines += [word.replace(" : ", ": "), f"  {meaning}{more}", ""]
    return directive("glossary", "\n".join(lines))
