"""A notebook as an HTML page that runs nothing and loads nothing.

The page's head is ours; nbconvert renders the cells only, and what it renders is
cleaned as a whole, so that no output and no later nbconvert can add to it.
"""

import copy
import html
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.runner.safe import clean_page, markdown_html, safe_output

STYLE = """
.wb-line { margin: 1rem 2rem; }
.wb-line a { margin-right: 1.5rem; color: var(--jp-content-link-color);
  text-decoration: underline; }
.wb-note { border-left: 4px solid #8888; padding-left: .8rem; }
.jp-Collapser { display: none; }
.wb-solution { margin: .3rem 4rem; }
.wb-solution summary { cursor: pointer; color: var(--jp-content-link-color); }
.cm-editor.cm-s-jupyter .highlight pre { margin: 0; font: inherit; color: inherit;
  padding: var(--jp-code-padding) 4px; overflow-x: auto; }
.jp-OutputArea-output pre { line-height: inherit; font-family: inherit; }
.jp-RenderedText pre { color: var(--jp-content-font-color1);
  font-size: var(--jp-code-font-size); }
@page { margin: 0.5in; }
@media print { .jp-Cell-inputWrapper, .jp-Cell-outputWrapper { display: block; } }
"""
TEMPLATE = """{%- extends 'lab/base.html.j2' -%}
{%- block any_cell -%}
{%- if 'solution' in cell.metadata.get('tags', []) -%}
<details class="wb-solution"><summary>Solution</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{%- endblock any_cell -%}"""
FOCUS = r'\1 tabindex="0"'
PARTIAL = re.compile(r"\..+\.(\d+)\.partial")


def notebook_html(notebook: Any, title: str, links: str = "", note: str = "") -> str:
    """A page of a notebook that loads nothing and runs nothing.

    Args:
        notebook: a cleaned executed copy; it is left as it is.
        title: the page's title.
        links: HTML above and below the cells.
        note: one line of text above the cells.

    Returns:
        HTML with pictures embedded, formulas as MathML and no script at all.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [safe_output(output) for output in cell.outputs]
    cells, _ = _exporter().from_notebook_node(notebook)
    # What scrolls sideways can be reached by the keyboard.
    cells = re.sub(r'(<div class="jp-[^">]*jp-OutputArea-output[^">]*")', FOCUS, cells)
    links = f'<nav class="wb-line">{links}</nav>' if links else ""
    if note:
        note = f'<p class="wb-line wb-note">{html.escape(note)}</p>'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title>{_styles()}</head>\n"
        '<body class="jp-Notebook" data-jp-theme-light="true">\n'
        f"{links}{note}\n<main>{clean_page(cells)}</main>\n{links}\n</body></html>\n"
    )


def write(path: Path, text: str) -> None:
    """Write a page beside its place and move it there: nobody reads half a page."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", errors="replace")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what `write` had left in processes that are gone."""
    import psutil

    for path in folder.glob(".*.partial"):
        owner = PARTIAL.fullmatch(path.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            path.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _exporter() -> Any:
    """nbconvert's exporter of cells: JupyterLab's look without a head."""
    from jinja2 import pass_context
    from nbconvert import HTMLExporter, TemplateExporter
    from nbconvert.filters import Highlight2HTML

    class Exporter(HTMLExporter):
        @pass_context
        def markdown2html(self, context: Any, source: str) -> str:
            return markdown_html(source, context["cell"].get("attachments"))

        def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> Any:
            # HTMLExporter would parse each page again, for seconds.
            return TemplateExporter.from_notebook_node(self, nb, resources, **kw)

    exporter = Exporter(template_name="lab")
    exporter.raw_template = TEMPLATE
    exporter.register_filter("highlight_code", Highlight2HTML("ipython3"))
    exporter.register_filter("clean_html", clean_page)
    return exporter


@lru_cache(maxsize=1)
def _styles() -> str:
    """JupyterLab's style sheets, that of highlighted code, and ours."""
    from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
    from pygments.formatters import HtmlFormatter

    environment = _exporter().environment
    sheets = [
        environment.loader.get_source(environment, name)[0]
        for name in ("static/index.css", "static/theme-light.css")
    ]
    colours = HtmlFormatter(style=CSSHTMLHeaderPreprocessor().style)
    sheets.append(colours.get_style_defs(".highlight"))
    return "".join(f"<style>\n{sheet}\n</style>\n" for sheet in [*sheets, STYLE])
