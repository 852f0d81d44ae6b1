"""The site: one page per lesson, and an index with the claims and the methods.

Every lesson has a page from the first build on: the committed copy, until the one that
is executed here has passed. Whatever comes from data (outputs, claims, cards) is
escaped or cleaned: a `<script>` in a review is text. No page loads anything from the
network, and none names a folder of this machine.
"""

import csv
import hashlib
import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.errors import printable
from workbench.runner import page, safe
from workbench.runner.copies import Copy, Lesson, copies, lesson
from workbench.runner.job import Settings
from workbench.runner.publish import clean, path_cleaner
from workbench.runner.series import sources
from workbench.runner.verdict import CLAIM

CLAIM_COLUMNS = ("notebook", "statement", "paper", "expected", "seen", "verdict")
METHOD_COLUMNS = ("key", "title", "family", "paper", "check", "notebook")
MARK = "<!-- workbench "
GLOSSARY = "glossary.html"
LESSON_LINK = re.compile(r"\]\((\d\d[a-z]?_\w+)\.ipynb(#[^)\s]*)?\)")
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
  border-bottom: 1px solid #8884; }
.scroll { overflow-x: auto; }
"""


@dataclass(frozen=True)
class Shown:
    """A lesson with the copy of it that is on its page.

    Attributes:
        lesson: the lesson.
        copy: None if there is nothing at all to show.
    """

    lesson: Lesson
    copy: Copy | None


def build_site(settings: Settings, site: Path | None = None) -> Path:
    """Write the index and one page for each lesson; what is unchanged is left alone.

    It may be called at any moment, while notebooks are executed too: a reader finds
    each page whole, the old one or the new one.

    Args:
        settings: the profile whose executed copies are shown where they passed.
        site: folder to write; default `root/site`.

    Returns:
        The index.
    """
    site = site or settings.root / "site"
    site.mkdir(parents=True, exist_ok=True)
    page.sweep(site)
    lessons = [lesson(path) for path in sources(settings.root)]
    shown = [
        Shown(one, _write_page(one, _links(lessons, at, settings), site, settings))
        for at, one in enumerate(lessons)
    ]
    glossary = _write_glossary(site, settings)
    index = site / "index.html"
    page.write(index, f"{_index(shown, settings)}\n{MARK}index -->\n")
    current = {one.lesson.page for one in shown if one.copy} | {index.name, glossary}
    for old in site.glob("*.html"):
        if old.name not in current and MARK in _end(old):
            old.unlink(missing_ok=True)
    return index


def table(columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> str:
    """An HTML table of escaped text; a value of type `Markup` is taken as it is."""
    columns = list(columns)
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    lines = [f"<thead><tr>{head}</tr></thead>"]
    for row in rows:
        cells = "".join(f"<td>{_text(row.get(column, ''))}</td>" for column in columns)
        lines.append(f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _write_glossary(site: Path, settings: Settings) -> str:
    """Write the page of GLOSSARY.md, if there is one; the name of the page."""
    from nbformat.v4 import new_markdown_cell, new_notebook

    source = settings.root / "GLOSSARY.md"
    if source.is_file():
        text = source.read_text(encoding="utf-8")
        notebook = new_notebook(cells=[new_markdown_cell(text)])
        links = '<a href="index.html">All notebooks</a>'
        body = page.notebook_html(notebook, "Glossary", links)
        page.write(site / GLOSSARY, f"{body}{MARK}glossary -->\n")
    return GLOSSARY


class Markup(str):
    """A string that is HTML already."""


def _write_page(one: Lesson, links: str, site: Path, settings: Settings) -> Copy | None:
    """Write the page of the best copy that can be shown, unless it is there already."""
    for copy in copies(one, settings):
        parts = [copy.notebook, one.title, links, copy.note, settings.profile]
        text = json.dumps([*parts, str(settings.root)]) + _code()
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        mark, path = f"{MARK}{key} -->", site / one.page
        if mark in _end(path):
            return copy
        try:
            body = _page(copy, one.title, links, settings)
        except Exception:  # the next copy will do: no lesson costs another its page
            continue
        page.write(path, f"{body}{mark}\n")
        return copy
    return None


def _page(copy: Copy, title: str, links: str, settings: Settings) -> str:
    strip = path_cleaner(settings.root)
    notebook = clean(copy.notebook, settings.root)
    for cell in notebook.cells:
        source = strip(cell.source).replace("](../GLOSSARY.md", f"]({GLOSSARY}")
        cell.source = LESSON_LINK.sub(r"](\1.html\2)", source)
    note = copy.note or f"Executed here at the profile {settings.profile}."
    return page.notebook_html(notebook, strip(title), strip(links), strip(note))


def _links(lessons: list[Lesson], at: int, settings: Settings) -> str:
    """To the index, the glossary, and the lessons before and after."""
    found = ['<a href="index.html">All notebooks</a>']
    if (settings.root / "GLOSSARY.md").is_file():
        found.append(f'<a href="{GLOSSARY}">Glossary</a>')
    for arrow, place in (("← {}", at - 1), ("{} →", at + 1)):
        if 0 <= place < len(lessons):
            found.append(_link(lessons[place], arrow))
    return " ".join(found)


def _link(one: Lesson, form: str = "{}") -> str:
    title = form.format(html.escape(one.title))
    return f'<a href="{html.escape(one.page)}">{title}</a>'


def _end(path: Path) -> str:
    """The last line of a page, where its mark is."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 80))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _code() -> str:
    """What else a page depends on."""
    from importlib.metadata import version

    own = (__file__, page.__file__, safe.__file__, clean.__code__.co_filename)
    texts = [Path(file).read_text(encoding="utf-8") for file in own]
    return "\0".join([*texts, version("nbconvert"), version("nh3")])


# ---- the index ----------------------------------------------------------------------


def _index(shown: list[Shown], settings: Settings) -> str:
    here = sum(one.copy is not None and not one.copy.note for one in shown)
    claims = [claim for one in shown for claim in _claims(one, settings.root)]
    methods = _methods()
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>workbench</title><style>{STYLE}</style></head><body>",
        "<h1>workbench</h1>",
        "<p>Preference optimisation and RLHF compared with exact answers. Every page "
        "below is a notebook with its outputs: the published copy, or the one executed "
        f"here at the profile <b>{html.escape(settings.profile)}</b> ({here} of "
        f"{len(shown)}). Open them live with <code>make lab</code>.</p>",
        "<h2>Notebooks</h2>",
        table(("notebook", "part", "seconds", "copy"), map(_notebook_row, shown)),
        "<h2>Claims</h2>",
        table(CLAIM_COLUMNS, claims)
        if claims
        else "<p>No notebook has judged a claim yet.</p>",
    ]
    if methods:
        parts += ["<h2>Methods</h2>", table(METHOD_COLUMNS, methods)]
    text = "\n".join([*parts, "</body></html>"])
    return path_cleaner(settings.root)(text)


def _notebook_row(one: Shown) -> dict[str, Any]:
    seconds = one.copy.seconds if one.copy else None
    return {
        "notebook": _named(one),
        "part": one.lesson.part,
        "seconds": "" if seconds is None else f"{seconds:.1f}",
        "copy": (one.copy.note or "executed here, passed")
        if one.copy
        else "nothing to show: neither its source nor a copy can be read",
    }


def _named(one: Shown) -> str:
    return Markup(_link(one.lesson)) if one.copy else one.lesson.title


def _claims(one: Shown, root: Path) -> list[dict[str, Any]]:
    """Rows of a lesson's claims; of several with one key the last counts."""
    found = _emitted(one.copy.notebook) if one.copy else []
    found = found or _claims_on_file(root, one.lesson.name)
    last = {str(claim.get("key")): claim for claim in found}
    return [
        {name: printable(claim.get(name, ""), 300) for name in CLAIM_COLUMNS}
        | {"notebook": _named(one), "seen": printable(_seen(claim), 300)}
        for claim in last.values()
    ]


def _emitted(notebook: Any) -> list[dict[str, Any]]:
    """The claims in a notebook's outputs; one that is no mapping is none."""
    values = (
        output.get("data", {}).get(CLAIM)
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )
    return [claim for claim in values if isinstance(claim, dict)]


def _seen(claim: dict[str, Any]) -> str:
    mean, low, high = (_number(claim.get(key)) for key in ("mean", "low", "high"))
    span = f" [{low}, {high}]" if low and high else ""
    seeds = claim.get("seeds")
    how = "exact" if claim.get("kind") == "exact" else f"{seeds} seeds"
    return f"{mean} {claim.get('unit', '')}{span}" + (f", {how}" if seeds else "")


def _number(value: Any) -> str:
    """Three digits of a number; anything else as it is."""
    if value in (None, "", "nan"):
        return ""
    try:
        return f"{float(value):.3g}"
    except (TypeError, ValueError, OverflowError):
        return str(value)


def _claims_on_file(root: Path, name: str) -> list[dict[str, Any]]:
    path = root / "data" / "results" / name / "claims.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []


def _methods() -> list[dict[str, str]]:
    from workbench import catalogue

    return catalogue.table()


def _text(value: Any) -> str:
    return value if isinstance(value, Markup) else html.escape(str(value))
