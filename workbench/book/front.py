"""The landing page, the list of studies, and the order in which the book is read."""

import html
from dataclasses import dataclass

from workbench.book.chapters import Chapter
from workbench.book.inert import (
    Markup,
    directive,
    download,
    link,
    literal,
    raw,
    table,
)
from workbench.book.papers import FILE
from workbench.catalogue import reading_path
from workbench.runner.build import STUDY
from workbench.runner.job import Settings
from workbench.runner.publish import path_cleaner
from workbench.runner.series import sources
from workbench.views.pipeline import pipeline

WHAT = """
Language models are taught what people prefer by comparing pairs of answers. This is a
course on how that is done, in a world so small that the best possible answer is known:
every method is a short function, trained in front of you and held against the exact
optimum.
"""
PICTURE = (
    "The way from a language model to an aligned one. Each lesson stands at one of "
    "these places."
)
DOORS = (
    ("Learn", "The core path, lesson by lesson. Start with *What RLHF is*.", "{first}"),
    (
        "Look up a method",
        "{methods} objectives: formula, minimiser, known mistakes, source.",
        "methods/index",
    ),
    (
        "Look up a paper's figure",
        "{pictures} figures with the command that makes each, and {claims} judged "
        "claims by paper.",
        "gallery",
    ),
)
LOOK_UP = (
    "methods/index",
    "gallery",
    "claims",
    "glossary",
    "bibliography",
    "api/index",
)


@dataclass(frozen=True)
class Shelf:
    """The chapters of one kind, with what the reading path says of each.

    Attributes:
        title: core path, electives or studies.
        rows: (chapter, its entry in the reading path).
    """

    title: str
    rows: tuple[tuple[Chapter, reading_path.Entry], ...]


def shelves(chapters: list[Chapter], settings: Settings) -> dict[str, Shelf]:
    """core, elective, study -> the chapters; what declares no path is elective."""
    entries = {path.stem: _entry(path) for path in sources(settings.root)}
    found: dict[str, list] = {"core": [], "elective": [], "study": []}
    for chapter in chapters:
        if chapter.notebook is None:
            continue
        entry = entries[chapter.name]
        kind = "study" if STUDY.match(chapter.name) else entry.path
        found[kind if kind in found else "elective"].append((chapter, entry))
    titles = {"core": "Core path", "elective": "Electives", "study": "Studies"}
    return {kind: Shelf(titles[kind], tuple(rows)) for kind, rows in found.items()}


def _entry(path) -> reading_path.Entry:
    try:
        return reading_path.entry(path)
    except (OSError, ValueError):  # what cannot be read has its name
        number = path.stem.partition("_")[0]
        return reading_path.Entry(number, path.stem, "", "", (), path.stem, "")


def landing(
    shelved: dict[str, Shelf], chapters: list[Chapter], methods: int, settings: Settings
) -> str:
    """The first page: what this is, three doors, the reading path with hours."""
    here = sum(c.copy is not None and not c.copy.note for c in chapters)
    shown = sum(c.notebook is not None for c in chapters)
    words = {
        "first": _first(shelved),
        "methods": methods,
        "pictures": sum(len(c.pictures) for c in chapters),
        "claims": sum(len(c.claims) for c in chapters),
    }
    missing = [c.lesson.title for c in chapters if c.notebook is None]
    told = (
        f"Every chapter is a notebook with its outputs: {here} of {shown} executed "
        f"here at the profile {settings.profile}, the others as published. `make lab` "
        "opens them live."
    )
    parts = ["# workbench", WHAT, raw(_picture()), _doors(words)]
    for kind in ("core", "elective"):
        if shelved[kind].rows:
            parts.append(_path(shelved[kind], shelved["study"], settings))
    if missing:
        parts.append("Nothing can be shown of " + literal(", ".join(missing)) + ".")
    cite = (
        f"<p>To quote a paper: {download(FILE, 'all papers as BibTeX')}, or one by one "
        f"in the {link('bibliography.html', 'bibliography')}.</p>"
    )
    parts += ["## About the pages", told, raw(cite), *_contents(shelved)]
    return "\n\n".join(parts)


def studies(shelved: dict[str, Shelf], settings: Settings) -> str:
    """The page of the studies, by their question."""
    rows = [
        {
            "study": link(f"{chapter.name}.html", entry.number),
            "question": entry.question or entry.title,
            "claims": len(chapter.claims),
            "figures": len(chapter.pictures),
        }
        for chapter, entry in shelved["study"].rows
    ]
    head = {"study": "Study", "question": "Question", "claims": "Claims"}
    names = "\n".join(chapter.name for chapter, _ in shelved["study"].rows)
    clean = path_cleaner(settings.root)
    return "\n\n".join(
        [
            "# Studies",
            "A study asks one question of a paper and judges its claims. It stands "
            "beside the lesson whose number it carries.",
            raw(clean(table(head | {"figures": "Figures"}, rows))),
            directive("toctree", names, ":hidden:"),
        ]
    )


def _first(shelved: dict[str, Shelf]) -> str:
    for shelf in shelved.values():
        for chapter, _ in shelf.rows:
            return chapter.name
    return "glossary"


def _picture() -> str:
    drawn = pipeline()
    return (
        f'<figure class="wb-figure wb-hero">{drawn.svg}'
        f"<figcaption>{html.escape(PICTURE)}</figcaption></figure>"
    )


def _doors(words: dict) -> str:
    cards = [
        directive(
            "grid-item-card",
            body.format(**words),
            f":link: {target.format(**words)}",
            ":link-type: doc",
            told=title,
        )
        for title, body, target in DOORS
    ]
    return directive("grid", "\n\n".join(cards), ":gutter: 3", told="1 1 3 3")


def _path(shelf: Shelf, beside: Shelf, settings: Settings) -> str:
    """One table of lessons with their hours."""
    rows = []
    for chapter, entry in shelf.rows:
        near = [
            link(f"{c.name}.html", e.number)
            for c, e in beside.rows
            if e.number[:2] == entry.number
        ]
        rows.append(
            {
                "lesson": link(f"{chapter.name}.html", entry.title),
                "question": entry.question,
                "hours": hours(chapter.lesson.minutes),
                "needs": ", ".join(entry.needs),
                "near": Markup(", ".join(near)),
            }
        )
    minutes = sum(chapter.lesson.minutes for chapter, _ in shelf.rows)
    total = f"{len(rows)} lessons, {hours(minutes)} hours." if minutes else ""
    head = {"lesson": "Lesson", "question": "Question", "hours": "Hours"}
    head |= {"needs": "Needs", "near": "Studies"}
    shown = path_cleaner(settings.root)(table(head, rows))
    shown = f'<div class="wb-path">{shown}</div>'
    return f"## {shelf.title}\n\n{total}\n\n{raw(shown)}"


def hours(minutes: int) -> str:
    """Minutes as hours with half an hour's grain; empty if nothing is said."""
    return f"{minutes / 60:.1f}".removesuffix(".0") if minutes else ""


def _contents(shelved: dict[str, Shelf]) -> list[str]:
    """What stands in the sidebar, in the order of previous and next."""
    found = []
    for kind in ("core", "elective"):
        lines = [_named(chapter, entry) for chapter, entry in shelved[kind].rows]
        if kind == "elective" and shelved["study"].rows:
            lines.append("studies")
        if lines:
            found.append(_toctree(shelved[kind].title, lines))
    return [*found, _toctree("Look up", list(LOOK_UP))]


def _named(chapter: Chapter, entry: reading_path.Entry) -> str:
    title = " ".join(entry.title.translate({60: None, 62: None}).split())
    return f"{title or chapter.name} <{chapter.name}>"


def _toctree(caption: str, lines: list[str]) -> str:
    return directive("toctree", "\n".join(lines), ":hidden:", f":caption: {caption}")
