"""Text from anywhere that stays text: in Markdown that Sphinx reads, and in HTML."""

import html
import re
from collections.abc import Iterable
from typing import Any

# A backslash makes each of these a plain character, whatever extension is switched on.
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_SPAN = re.compile(r"(`+)([^`]+)\1")
_FENCE = re.compile(r"(?m)^([ \t>*+\-\d.)]*)(`{3,}|~{3,}|:{3,})[ \t]*\{[^\n]*")
_ROLE = re.compile(r"\{(?=[\w:+.\-]+\}`)")


class Markup(str):
    """A string that is HTML already."""


def literal(text: object) -> str:
    """Markdown of one line that shows a text exactly."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(str(text).split()))


def spoken(text: object) -> str:
    """The same, with what stands in backticks as code."""
    parts, at, flat = [], 0, " ".join(str(text).split())
    for span in _SPAN.finditer(flat):
        inner = span[2].strip().replace("|", "\\|")
        parts += [literal_kept(flat[at : span.start()]), f"`{inner}`"]
        at = span.end()
    return "".join([*parts, literal_kept(flat[at:])])


def literal_kept(text: str) -> str:
    """`literal` that keeps the spaces at both ends."""
    return _PUNCTUATION.sub(r"\\\1", text)


def prose(text: str) -> str:
    """Markdown of a notebook without what only Sphinx would act on.

    A directive becomes a listing, a role a word in braces, and a picture from
    elsewhere a link: a page loads nothing.
    """
    text = _FENCE.sub(r"\1```text", text)
    text = _ROLE.sub(r"\\{", text)
    return re.sub(r"(?<!\\)!\[", "[", text)


def slug(text: object) -> str:
    """A text as part of an address."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", str(text)).strip("-") or "it"


def listing(text: str, language: str = "text") -> str:
    """A block of code that no line of the code can end."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def directive(name: str, body: str, *options: str, told: str = "") -> str:
    """A directive of Sphinx around Markdown, of which no line can end it."""
    longest = max(map(len, re.findall(r"`{3,}", body)), default=2)
    fence = "`" * (longest + 1)
    lines = [f"{fence}{{{name}}} {told}".rstrip(), *options]
    return "\n".join([*lines, "", body.strip("\n"), fence])


def raw(markup: str) -> str:
    """HTML of our own making as a part of a page."""
    # a blank line would end nothing, a fence in an escaped text might
    return directive("raw", re.sub(r"\n\s*\n", "\n", markup), told="html")


def table(columns: dict[str, str], rows: Iterable[dict[str, Any]]) -> str:
    """An HTML table of escaped text; a value of type `Markup` is taken as it is.

    Args:
        columns: field -> heading.
        rows: mappings from fields to values; `id` becomes the row's anchor.
    """
    head = "".join(
        f'<th scope="col">{html.escape(name)}</th>' for name in columns.values()
    )
    lines = [f"<thead><tr>{head}</tr></thead><tbody>"]
    for row in rows:
        anchor = f' id="{row["id"]}"' if row.get("id") else ""
        cells = "".join(f"<td>{escaped(row.get(name, ''))}</td>" for name in columns)
        lines.append(f"<tr{anchor}>{cells}</tr>")
    body = "\n".join([*lines, "</tbody>"])
    wide = " wb-wide" if len(columns) > 4 else ""
    return f'<div class="wb-scroll{wide}"><table class="wb-table">{body}</table></div>'


def escaped(value: Any) -> str:
    """HTML of a value: text, unless it is `Markup`."""
    return value if isinstance(value, Markup) else html.escape(str(value))


def link(address: str, text: object) -> Markup:
    """A link whose words are text."""
    return Markup(f'<a href="{html.escape(address)}">{escaped(text)}</a>')


def download(address: str, text: object) -> Markup:
    """A link to a file that is kept and not opened."""
    return Markup(f'<a href="{html.escape(address)}" download>{escaped(text)}</a>')
