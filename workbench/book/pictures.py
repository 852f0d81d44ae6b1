"""A figure of a notebook on its page: a picture with an anchor, and live if asked for.

The picture is a file, its plotly JSON a small script beside it, which `figure.js` loads
from this machine when the figure comes into view.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.runner.safe import safe_output
from workbench.views.fig import PLOTLY

PNG, SVG = "image/png", "image/svg+xml"
FOLDER = "figures"
_START = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A figure of a chapter.

    Attributes:
        chapter: name of its notebook.
        number: counted from 1 in its chapter.
        alt: what it shows, for readers who do not see it.
        caption: the sentence below it, may be empty.
        source: address of the picture, from the book's root.
    """

    chapter: str
    number: int
    alt: str
    caption: str
    source: str

    @property
    def anchor(self) -> str:
        """Its id on its page."""
        return f"figure-{self.number}"

    @property
    def address(self) -> str:
        """Its place, from the book's root."""
        return f"{self.chapter}.html#{self.anchor}"


@dataclass
class Album:
    """The figures of one chapter, and the files that they need.

    Attributes:
        chapter: name of the notebook.
        pictures: in the order of the page.
        files: path below the book's root -> content.
    """

    chapter: str
    pictures: list[Picture] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def add(
        self, output: Any, caption: str, moved: Callable | None = None
    ) -> str | None:
        """The HTML of a figure; None if the output is no picture.

        Args:
            output: of notebook format 4.
            caption: the sentence that the notebook shows below it.
            moved: from the figure's name to the HTML and the files of what moves it.
        """
        data, number = output.get("data", {}), len(self.pictures) + 1
        if PNG in data:
            source, size = self._png(data[PNG], number), _size(output)
        elif SVG in data and "text/html" not in data:
            source, size = _svg(output), ""
        else:
            return None
        if not source:
            return None
        alt = _alt(output)
        picture = Picture(self.chapter, number, alt, caption or alt, source)
        self.pictures.append(picture)
        live = self._live(data.get(PLOTLY), number)
        shown = f'<img src="{source}" alt="{html.escape(alt)}"{size} loading="lazy">'
        anchor = f'<a class="wb-anchor" href="#{picture.anchor}">Figure {number}</a>'
        below = ""
        if moved and live:
            below, files = moved(f"{self.chapter}-{number}")
            self.files |= files
        return (
            f'<figure class="wb-figure" id="{picture.anchor}"{live}>{shown}{below}'
            f'<div class="wb-tools">{anchor}</div></figure>'
        )

    def _png(self, value: Any, number: int) -> str:
        text = "".join(value) if isinstance(value, list) else value
        try:
            content = base64.b64decode("".join(str(text).split()), validate=True)
        except (binascii.Error, ValueError):
            return ""
        if not content.startswith(_START):
            return ""
        path = f"{FOLDER}/{self.chapter}-{number}.png"
        self.files[path] = content
        return path

    def _live(self, figure: Any, number: int) -> str:
        """The attribute that names the script with the figure's JSON."""
        if not isinstance(figure, dict) or not isinstance(figure.get("data"), list):
            return ""
        name = f"{self.chapter}-{number}"
        kept = {"data": figure["data"], "layout": figure.get("layout") or {}}
        path = f"{FOLDER}/{name}.js"
        self.files[path] = script("figure", name, kept)
        return f' data-live="{path}" data-name="{name}"'


def script(kind: str, name: str, value: Any) -> bytes:
    """JSON that a page opened as a file can load: it may load scripts only.

    Args:
        kind: which of `figure.js`'s shelves it goes to.
        name: by which it is found there.
        value: anything that JSON can hold.
    """
    told = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    shelf = f"((window.workbench ||= {{}}).{kind} ||= {{}})"
    return f"{shelf}[{json.dumps(name)}] = {told};\n".encode()


def caption_of(output: Any) -> str:
    """The caption that an output after a figure shows; empty if it is none."""
    data = output.get("data", {}) if output is not None else {}
    markup, words = _joined(data.get("text/html")), _joined(data.get("text/plain"))
    return words.strip() if markup.startswith("<p><em>") else ""


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return "".join(map(str, value))
    return value if isinstance(value, str) else ""


def _alt(output: Any) -> str:
    for mime in (PNG, SVG):
        details = output.get("metadata", {}).get(mime)
        if isinstance(details, dict) and isinstance(details.get("alt"), str):
            return details["alt"]
    return _joined(output.get("data", {}).get("text/plain")) or "A figure"


def _size(output: Any) -> str:
    """The size at which the picture is crisp; the file has twice the pixels."""
    details = output.get("metadata", {}).get(PNG)
    details = details if isinstance(details, dict) else {}
    sides = {side: details.get(side) for side in ("width", "height")}
    if not all(isinstance(value, int) and 0 < value < 5000 for value in sides.values()):
        return ""
    return "".join(f' {side}="{value}"' for side, value in sides.items())


def _svg(output: Any) -> str:
    """An SVG stays within its page: opened alone it could run a script."""
    shown = safe_output(output).get("data", {}).get("text/html", "")
    found = re.search(r'src="(data:image/svg\+xml;base64,[A-Za-z0-9+/=]+)"', shown)
    return found[1] if found else ""
