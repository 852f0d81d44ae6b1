"""Text that stands in a Markdown page as it is, and tables of it."""

import html
import re
from collections.abc import Iterable


def cell(text: object) -> str:
    """Text that cannot break a Markdown table or bring markup of its own."""
    flat = html.escape(" ".join(str(text).split()), quote=False)
    parts = re.split(r"(`+[^`]+`+)", flat.replace("|", "\\|"))
    # inside a code span a backslash would be shown
    plain = [re.sub(r"([*_])", r"\\\1", part) for part in parts[::2]]
    parts[::2] = plain
    return "".join(parts)


def grid(header: tuple[str, ...], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; the cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
