"""What Sphinx calls of ours: formulas as MathML, and titles that stay text.

Browsers draw MathML without a script or a font.
"""

import html
from typing import Any

from workbench.runner.safe import math_html

# The theme puts these into its pages as if they were HTML.
UNESCAPED = ("pagetitle", "page_description", "root_title")


def inline(writer: Any, node: Any) -> None:
    """Write a formula within a line."""
    writer.body.append(math_html(node.astext()))
    node.clear()  # or its source would be written behind it


def display(writer: Any, node: Any) -> None:
    """Write a formula on a line of its own, which may scroll on a phone."""
    markup = math_html(node.astext(), display=True)
    writer.body.append(f'<div class="wb-math">{markup}</div>')
    node.clear()


def escape(app: Any, page: str, template: str, context: dict, doctree: Any) -> None:
    """Escape what the theme takes from headings, which hold text from cards."""
    for name in UNESCAPED:
        if name in context:
            context[name] = html.escape(str(context[name]))


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(inline, None), block_renderers=(display, None)
    )
    app.connect("html-page-context", escape, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
