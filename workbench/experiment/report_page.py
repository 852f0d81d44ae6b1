"""What every report is made of: one HTML file with live figures, and their pictures.

Texts of a file or a model are data, and are escaped.
"""

import html
import json
from collections.abc import Mapping

from workbench.core.outputs import Outputs
from workbench.views import live_page
from workbench.views.fig import Fig

NAME = "report.html"
LONGEST = 300  # characters of a text in a table
STYLE = (
    "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "h1,li,p{overflow-wrap:anywhere}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3em .6em;"
    "text-align:left;vertical-align:top}pre{white-space:pre-wrap;margin:0}"
    "img{max-width:100%}figure{margin:2em 0;overflow-x:auto}"
    ".wide{overflow-x:auto}"
    ".t{white-space:pre-wrap;line-height:1.9}"
    ".pair{border-top:1px solid #ccc;padding:.5em 0}"
)


def files(names: tuple[str, ...]) -> tuple[str, ...]:
    """The files of figures with these names, and the report's.

    Args:
        names: of figures.
    """
    return (*(f"{name}.{kind}" for name in names for kind in ("png", "json")), NAME)


def save(out: Outputs, drawn: Mapping[str, Fig], title: str, body: str) -> None:
    """Write each figure as PNG and plotly JSON, and the report.

    Args:
        out: the folder.
        drawn: figures by name.
        title: text.
        body: HTML in which everything from data is escaped.
    """
    for name, figure in drawn.items():
        figure.save(out.path(f"{name}.png"))
        out.write(f"{name}.json", json.dumps(figure.plotly, sort_keys=True) + "\n")
    page = live_page.document(legible(title), STYLE, body)
    out.write(NAME, page.encode("utf-8", "xmlcharrefreplace").decode())


def heading(title: str) -> str:
    """The first line of a report."""
    return f"<h1>{safe(title)}</h1>"


def notes(lines) -> str:
    """Sentences as a list."""
    return "<ul>" + "".join(f"<li>{safe(line)}</li>" for line in lines) + "</ul>"


def figures(drawn: Mapping[str, Fig]) -> str:
    """All figures, live, each with its caption and data."""
    return "".join(map(live_page.live, drawn.values()))


def table(frame) -> str:
    """A whole table; a screen that is narrower can move it sideways."""
    heads = "".join(f"<th>{safe(name)}</th>" for name in frame.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    return f'<div class="wide" tabindex="0"><table><tr>{heads}</tr>{rows}</table></div>'


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.3g}"
    text = str(value)
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    return f"<pre>{safe(short)}</pre>" if isinstance(value, str) else safe(text)


def safe(value: object) -> str:
    """Text for HTML."""
    return html.escape(legible(str(value)))


def legible(text: str) -> str:
    """Text with the name of a file, which a locale other than UTF-8 gives as bytes."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return text
