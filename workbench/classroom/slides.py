"""A lesson as one HTML file of slides that loads nothing and needs no other script.

Each heading of second order opens a slide; below it, one after the other, stand its
text, its code, and each figure with its caption. Solutions and the cell of imports are
left out. What outputs hold goes through :mod:`workbench.runner.safe`.
"""

import base64
import hashlib
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.classroom.deck_look import SCRIPT, STYLE
from workbench.classroom.edition import linked
from workbench.core.durable import replace
from workbench.core.errors import BadFile, BadOption
from workbench.runner import build
from workbench.runner.safe import markdown_html, safe_output
from workbench.runner.stamp import ADDED
from workbench.teach.blocks import is_solution, tags

GENERATOR = '<meta name="generator" content="workbench slides">'
SETTINGS = ADDED | {"parameters"}
IMPORTS = re.compile(r"^from workbench\.lesson import \*", re.M)
# what such a cell shows is to be seen, not how it is called
CALLS = re.compile(r"\bteach\.(predict|reveal|claim)\(|^judge\(", re.M)
LINE = re.compile(r"\n|<tr|<br|<p")
ROOM = 22  # lines that fit a slide without being made much smaller
FENCE = re.compile(r"^(```|~~~)", re.M)
ARROWS = (("ArrowLeft", "‹", "Back"), ("ArrowUp", "˄", "Up"),
          ("ArrowDown", "˅", "Down"), ("ArrowRight", "›", "On"))  # fmt: skip


@dataclass
class Column:
    """A slide and what stands below it.

    Attributes:
        title: plain words of its heading.
        parts: HTML of each part, the first of which holds the heading.
    """

    title: str
    parts: list[str] = field(default_factory=list)


def columns(notebook: Any) -> list[Column]:
    """The slides of a lesson.

    Args:
        notebook: with outputs; it is left as it is.
    """
    found: list[Column] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for title, text in _sections(cell.source):
                if title is not None or not found:
                    found.append(Column(title or ""))
                if text.strip():
                    # the file is carried about: it has no lesson beside it
                    shown = markdown_html(linked(text, {}), cell.get("attachments"))
                    found[-1].parts.append(shown)
        elif cell.cell_type == "code" and _is_shown(cell):
            found = found or [Column("")]
            found[-1].parts += _code_parts(cell)
    return [column for column in found if column.parts]


def deck(notebook: Any, title: str) -> str:
    """The HTML file of a lesson's slides.

    Args:
        notebook: with outputs.
        title: of the file.
    """
    body = []
    for number, column in enumerate(columns(notebook)):
        for row, part in enumerate(column.parts):
            where = html.escape(column.title) if row else ""
            body.append(
                f"<section class='slide' data-column='{number}' data-row='{row}'>"
                f"<div class='inner'>{part}</div><p class='where'>{where}</p></section>"
            )
    place = '<span id="place" role="status"></span> '
    buttons = "".join(
        f"<button data-key='{key}' aria-label='{words}'>{arrow}</button>"
        for key, arrow, words in ARROWS
    )
    # no output can run or load anything, whatever it holds
    script = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{script}'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'{GENERATOR}<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}{_colours()}</style></head>"
        f"<body><main>{''.join(body)}</main>"
        f'<nav aria-label="Slides">{place}{buttons}</nav>'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def write(root: Path, path: Path, out: Path | None = None) -> Path:
    """Write the slides of a lesson from its published copy.

    Args:
        root: the clone.
        path: the lesson's source.
        out: the file to write; ``build/slides/NN_name.html`` if None.

    Returns:
        The file.

    Raises:
        BadFile: the lesson has no published copy, or one without outputs.
        BadOption: the file is there and holds something else.
    """
    published = root / "notebooks" / f"{path.stem}.ipynb"
    try:
        notebook = build.load(published)
    except FileNotFoundError:
        raise BadFile(published, "missing file", "no such file") from None
    except build.BrokenNotebook as error:
        raise BadFile(published, f"it {error}") from None
    if not any(cell.get("outputs") for cell in notebook.cells):
        raise BadFile(published, "no outputs", f"`workbench run {path.stem} --publish`")
    out = out or root / "build" / "slides" / f"{path.stem}.html"
    _refuse_other(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    replace(out, deck(notebook, build.read(path).title))
    return out


def _refuse_other(out: Path) -> None:
    """Only earlier slides are replaced."""
    if not out.exists():
        return
    start = "" if out.is_dir() else out.read_text("utf-8", "replace")[:500]
    if GENERATOR not in start:
        raise BadOption(f"{out} is there and holds no slides: name another file")


def _sections(text: str) -> Iterator[tuple[str | None, str]]:
    """Pieces of a Markdown cell, each with the heading that opens it, or None."""
    title, lines, fenced = None, [], False
    for line in text.splitlines():
        fenced ^= bool(FENCE.match(line))
        opened = None if fenced else re.match(r"##? (.+)", line)
        if opened:
            if lines or title is not None:
                yield title, "\n".join(lines)
            title, lines = re.sub(r"[$*`]|\\(\w+)", r"\1", opened[1]), [line]
        else:
            lines.append(line)
    yield title, "\n".join(lines)


def _is_shown(cell: Any) -> bool:
    return not (
        is_solution(cell)
        or SETTINGS & set(tags(cell))
        or IMPORTS.search(cell.source)
        or not cell.source.strip()
    )


def _code_parts(cell: Any) -> list[str]:
    """The code with what it prints; then each figure with what follows it."""
    parts = ["" if CALLS.search(cell.source) else _highlighted(cell.source)]
    for output in cell.outputs:
        shown = _shown(output)
        lines = len(LINE.findall(parts[-1] + shown))
        if "<img" in shown or parts[-1] and lines > ROOM:
            parts.append("")
        parts[-1] += shown
    return [part for part in parts if part]


def _shown(output: Any) -> str:
    """An output as HTML; a stream and an error are text."""
    safe = safe_output(output)
    if safe.output_type == "stream":
        return _pre(safe.text)
    if safe.output_type == "error":
        return _pre(f"{safe.ename}: {safe.evalue}")
    data = safe.data
    return data["text/html"] if "text/html" in data else _pre(data["text/plain"])


def _pre(text: str) -> str:
    return f"<pre class='out'>{html.escape(text.rstrip())}</pre>"


def _highlighted(source: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    code = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True))
    return f"<pre class='highlight'>{code}</pre>"


def _colours() -> str:
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(style="friendly").get_style_defs(".highlight")
