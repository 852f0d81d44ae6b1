"""A notebook as a chapter: what Sphinx reads of it runs nothing and loads nothing.

Every output becomes clean HTML or plain text, prose keeps its Markdown without what
only Sphinx would act on, solutions and long code are folded, each figure and each claim
gets an anchor. The copy that is shown is chosen by `runner/copies.py`; one that cannot
be prepared gives way to the next.
"""

import html
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from workbench.book import judged, movable
from workbench.book.inert import directive, literal, prose
from workbench.book.pictures import Album, Picture, caption_of
from workbench.runner.copies import Copy, Lesson, copies
from workbench.runner.job import Settings
from workbench.runner.publish import clean, path_cleaner
from workbench.runner.safe import safe_output
from workbench.runner.verdict import CLAIM, tags

LONG = 24  # lines of code that are shown without being asked for


@dataclass(frozen=True)
class Chapter:
    """A chapter of the book.

    Attributes:
        lesson: what its source declares.
        copy: the copy that is shown; None if there is none.
        notebook: what Sphinx reads; None if there is nothing to show.
        pictures: its figures.
        files: path below the book's root -> content.
        claims: what it has judged.
    """

    lesson: Lesson
    copy: Copy | None = None
    notebook: Any = None
    pictures: tuple[Picture, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    claims: tuple[judged.Claim, ...] = ()

    @property
    def name(self) -> str:
        """Its page without the ending."""
        return self.lesson.name


def chapter(lesson: Lesson, settings: Settings) -> Chapter:
    """The chapter of the best copy that can be shown.

    Args:
        lesson: a lesson or a study.
        settings: the profile whose executed copies are shown where they passed.
    """
    for copy in copies(lesson, settings):
        try:
            return prepared(lesson, copy, settings)
        except Exception:  # the next copy will do: no lesson costs another its page
            continue
    found = judged.claims(lesson.name, None, settings.root)
    return Chapter(lesson, claims=tuple(found))


def prepared(lesson: Lesson, copy: Copy, settings: Settings) -> Chapter:
    """The chapter of one copy, which is left as it is."""
    notebook = clean(copy.notebook, settings.root)
    strip, album = path_cleaner(settings.root), Album(lesson.name)
    results = settings.root / "data" / "results" / lesson.name
    found = judged.claims(lesson.name, notebook, settings.root)
    note = strip(copy.note or f"Executed here at the profile {settings.profile}.")
    _mark_title(notebook, strip(lesson.title), note)
    anchors: set[str] = set()
    for cell in notebook.cells:
        cell.source = strip(cell.source)
        if cell.cell_type == "code":
            _code(cell, album, anchors, results)
        else:
            _text(cell)
    notebook.metadata.pop("workbench", None)
    return Chapter(
        lesson, copy, notebook, tuple(album.pictures), album.files, tuple(found)
    )


def _mark_title(notebook: Any, title: str, note: str) -> None:
    """One heading on top, and below it which copy this is."""
    import nbformat.v4 as v4

    first = notebook.cells[0] if notebook.cells else None
    heading, rest = f"# {literal(title)}", ""
    if first is not None and first.cell_type == "markdown":
        line, _, below = first.source.lstrip().partition("\n")
        if line.startswith("# "):
            heading, rest = line, below.strip()
            notebook.cells.pop(0)
    cells = [v4.new_markdown_cell(heading), v4.new_markdown_cell(note)]
    cells[1].metadata["wb_note"] = True
    if rest:
        cells.append(v4.new_markdown_cell(rest))
    for place, cell in enumerate(cells):
        cell.id = f"workbench-{place}"
    notebook.cells[:0] = cells


def _text(cell: Any) -> None:
    """Prose, or a cell of another kind, as inert Markdown."""
    if cell.metadata.pop("wb_note", False):
        cell.source = directive("div", literal(cell.source), told="wb-note")
        return
    cell.source = prose(cell.source).replace("](../GLOSSARY.md", "](glossary.md")
    if "solution" in tags(cell):
        cell.source = directive("dropdown", cell.source, told="Solution")
    if cell.cell_type != "markdown":
        cell.cell_type = "markdown"


def _code(cell: Any, album: Album, anchors: set[str], results: Path) -> None:
    """Clean outputs, and what is folded."""
    outputs, shown = list(cell.outputs), []
    moving = [movable.states_of(output, results) for output in outputs]
    for place, output in enumerate(outputs):
        caption = caption_of(outputs[place + 1] if outputs[place + 1 :] else None)
        # an instrument leaves its picture, the caption, and then its states
        after = [found for found in moving[place + 1 : place + 3] if found]
        moved = partial(movable.controls, after[0]) if after else None
        figure = album.add(output, caption, moved)
        if figure is not None:
            shown.append(_html(output, figure))
        elif moving[place] is None:
            shown.append(_output(output, anchors))
    cell.outputs = shown
    lines = len(cell.source.splitlines())
    if "solution" in tags(cell):
        _fold(cell, "hide-cell", "Solution")
    elif "parameters" in tags(cell):
        _fold(cell, "hide-input", "Parameters")
    elif lines > LONG:
        _fold(cell, "hide-input", f"Code, {lines} lines")


def _fold(cell: Any, tag: str, words: str) -> None:
    cell.metadata["tags"] = [*tags(cell), tag]
    cell.metadata["mystnb"] = {"code_prompt_show": words, "code_prompt_hide": words}


def _output(output: Any, anchors: set[str]) -> Any:
    """An output as clean HTML or as text; a claim with its anchor."""
    claim = output.get("data", {}).get(CLAIM)
    safe = safe_output(output)
    if "text/html" not in safe.get("data", {}):
        return safe
    markup = safe.data["text/html"]
    if isinstance(claim, dict):
        return _html(safe, _claim(claim, markup, anchors))
    return _html(safe, f'<div class="wb-output">{markup}</div>')


def _claim(claim: dict[str, Any], markup: str, anchors: set[str]) -> str:
    name = judged.anchor(claim.get("key"))
    place = "" if name in anchors else f' id="{name}"'
    anchors.add(name)
    links = [f'<a class="wb-anchor" href="#{name}">Link to this claim</a>']
    papers = judged.named(judged.printable(claim.get("paper", ""), judged.LONGEST))
    links += [
        f'<a href="bibliography.html#{paper.key}">{html.escape(paper.cite)}</a>'
        for paper in papers
    ]
    tools = f'<div class="wb-tools">{" · ".join(links)}</div>'
    return f'<div class="wb-claim wb-output"{place}>{markup}{tools}</div>'


def _html(output: Any, markup: str) -> Any:
    import nbformat

    told = {"data": {"text/html": markup}, "metadata": {}}
    return nbformat.from_dict({**output, **told})


def written(notebook: Any) -> str:
    """The text of a chapter's file: the same chapter gives the same bytes."""
    import nbformat

    text = nbformat.writes(notebook, indent=1, sort_keys=True, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()
