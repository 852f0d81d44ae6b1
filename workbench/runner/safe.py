"""What an output may show: text, tables, formulas and pictures; nothing runs or loads.

Two allow-lists decide, and what is on neither is dropped: MIME types (`safe_output`),
and tags with their attributes, addresses and styles (`clean_html`). Text that is no
markup is escaped where it is put into a page.
"""

import base64
import binascii
import html
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

TAGS = frozenset(
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em "
    "figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s small "
    "span strong sub summary sup table tbody td tfoot th thead tr u ul".split()
)
ATTRIBUTES = {
    "*": {"class", "style", "title", "role", "lang", "aria-label"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "details": {"open"},
}
MATH_TAGS = frozenset(
    "math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts "
    "mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder "
    "munderover".split()
)
MATH_ATTRIBUTES = frozenset(
    "accent accentunder columnalign columnlines columnspacing depth display "
    "displaystyle fence form height largeop linethickness lspace mathbackground "
    "mathcolor mathsize mathvariant maxsize minsize movablelimits notation rowalign "
    "rowlines rowspacing rspace scriptlevel separator stretchy symmetric voffset "
    "width".split()
)
# Nothing here takes a thing out of its place on the page.
CSS = frozenset(
    "background background-color border border-bottom border-collapse border-color "
    "border-left border-radius border-right border-spacing border-top color display "
    "flex float font-family font-size font-style font-variant-numeric font-weight gap "
    "height letter-spacing line-height list-style margin margin-bottom margin-left "
    "margin-right margin-top max-height max-width min-width opacity overflow "
    "overflow-x padding padding-bottom padding-left padding-right padding-top "
    "text-align text-decoration text-indent vertical-align white-space width".split()
)
# Words, numbers, quoted names and colours; no other function, so no url().
_CSS_VALUE = re.compile(
    r"(?:(?:rgb|hsl)a?\([\d\s.,%/-]*\)|[\w\s#%.,'\"+-])+(?:!\s*important)?", re.I
)
# pandas' tables and highlighted code; the page's own classes could place an overlay.
_OUTPUT_CLASS = re.compile(r"dataframe|highlight|[a-z]{1,3}\d?")
_DATA_PICTURE = re.compile(
    r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/]+={0,2}"
)
_STARTS = {
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/gif": rb"GIF8[79]a",
    "image/webp": rb"RIFF....WEBP",
}


def clean_html(text: str) -> str:
    """HTML reduced to what only shows text, tables, formulas and embedded pictures.

    Args:
        text: HTML from an output.

    Returns:
        A balanced fragment: nothing in it ends an element around it.
    """
    return _cleaner().clean(_encodable(text))


def markdown_html(source: str, attachments: dict[str, Any] | None = None) -> str:
    """Markdown as clean HTML with formulas as MathML.

    Args:
        source: Markdown; raw HTML in it is cleaned like any other.
        attachments: pictures of a Markdown cell by name.
    """
    from nbconvert.filters.markdown_mistune import MarkdownWithMath

    renderer = _renderer()(
        escape=False, attachments=attachments or {}, exclude_anchor_links=True
    )
    return clean_html(MarkdownWithMath(renderer=renderer).render(source))


def math_html(tex: str, display: bool = False) -> str:
    """A formula as MathML, which browsers draw without a script.

    Args:
        tex: LaTeX without its dollars; shown as it is where it is no formula.
        display: on a line of its own.
    """
    return clean_html(_mathml(tex, display))


def safe_output(output: Any) -> Any:
    """An output of a code cell with nothing in it but clean HTML or plain text.

    Args:
        output: of notebook format 4.

    Returns:
        A new output; streams and errors are text already and come back as they are.
    """
    import nbformat

    if output.output_type not in ("display_data", "execute_result"):
        return output
    parts = {mime: _joined(value) for mime, value in output.data.items()}
    plain, dropped, data = parts.pop("text/plain", None), [], None
    for mime in sorted(parts, key=_rank):
        show = _SHOWN.get(mime)
        text = parts[mime]
        shown = show(text, _alt(output, mime)) if show and text is not None else None
        if shown is not None:
            data = {"text/html": shown}
            break
        # A type that no page shows goes without a word if there is text instead.
        if show or plain is None:
            dropped.append(f"({mime[:60]}: nothing that a page can show)")
    if data is None:
        data = {"text/plain": "\n".join([*([plain] if plain else []), *dropped])}
    return nbformat.from_dict({**output, "data": data, "metadata": {}})


def _rank(mime: str) -> int:
    order = list(_SHOWN)
    return order.index(mime) if mime in order else len(order)


def _joined(value: Any) -> str | None:
    """A MIME value as text; None if it is none."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value if isinstance(value, str) else None


def _alt(output: Any, mime: str) -> str:
    """The sentence that says what a picture shows, which nbconvert would drop."""
    details = output.get("metadata", {}).get(mime)
    alt = details.get("alt") if isinstance(details, dict) else None
    return str(alt or _joined(output.data.get("text/plain")) or "")


def _html(text: str, alt: str) -> str:
    return clean_html(text)


def _markdown(text: str, alt: str) -> str:
    return markdown_html(text)


def _latex(text: str, alt: str) -> str:
    tex = text.strip().strip("$").replace(r"\displaystyle", "")
    return math_html(tex, display=True)


def _svg(text: str, alt: str) -> str:
    # Inside <img> an SVG runs no script and loads nothing.
    encoded = base64.b64encode(text.encode("utf-8", "replace")).decode()
    return _image("image/svg+xml", encoded, alt)


def _picture(mime: str) -> Callable[[str, str], str | None]:
    def show(text: str, alt: str) -> str | None:
        encoded = "".join(text.split())
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return None
        sound = re.match(_STARTS[mime], raw, re.S)
        return _image(mime, encoded, alt) if sound else None

    return show


def _image(mime: str, encoded: str, alt: str) -> str:
    alt = html.escape(alt, quote=True)
    return clean_html(f'<img src="data:{mime};base64,{encoded}" alt="{alt}">')


# The best first.
_SHOWN: dict[str, Callable[[str, str], str | None]] = {
    "text/html": _html,
    "text/markdown": _markdown,
    "image/svg+xml": _svg,
    "text/latex": _latex,
    **{mime: _picture(mime) for mime in _STARTS},
}


def _mathml(tex: str, display: bool) -> str:
    """MathML as latex2mathml writes it, with links, which are cleaned later."""
    from xml.etree.ElementTree import tostring

    from latex2mathml.converter import convert_to_element

    wanted = re.sub(
        r"\\(begin|end)\{(?:aligned|gathered)\}", r"\\\1{split}", tex.strip()
    )
    try:
        tree = convert_to_element(wanted, display="block" if display else "inline")
        # Symbols stand in the tree as entities; "<" in a text stays text.
        return re.sub(r"&amp;(#?\w+;)", r"&\1", tostring(tree, encoding="unicode"))
    except Exception:  # a dozen classes of its own, and IndexError, for a broken one
        return f"<code>{html.escape(tex)}</code>"


@lru_cache(maxsize=1)
def _renderer() -> type:
    """nbconvert's renderer of Markdown with formulas as MathML."""
    from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer

    class Renderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return _mathml(body, display=False)

        def block_math(self, body: str) -> str:
            return _mathml(body, display=True)

        def latex_environment(self, name: str, body: str) -> str:
            tex = f"\\begin{{{name}}}{body}\\end{{{name}}}"
            return _mathml(tex, display=True)

        def image(self, text: str, url: str, title: str | None = None) -> str:
            try:
                return super().image(text, url, title)
            except InvalidNotebook:  # an attachment that is not there
                return html.escape(text)

    return Renderer


def _encodable(text: str) -> str:
    """A text without the halves of characters that no file can hold."""
    return text.encode("utf-8", "replace").decode()


@lru_cache(maxsize=1)
def _cleaner() -> Any:
    """nh3 with our lists; it reads HTML as browsers do."""
    import nh3

    attributes = {tag: set(names) for tag, names in ATTRIBUTES.items()}
    attributes |= {tag: set(MATH_ATTRIBUTES) for tag in MATH_TAGS}

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name == "class":
            kept = [c for c in value.split() if _OUTPUT_CLASS.fullmatch(c)]
            return " ".join(kept) or None
        check = _CHECKED.get(name)
        return check(value) if check else value

    return nh3.Cleaner(
        tags=set(TAGS | MATH_TAGS),
        clean_content_tags={"script", "style"},
        attributes=attributes,
        attribute_filter=attribute,
        url_schemes={"data", "http", "https", "mailto"},
    )


def _link(value: str) -> str | None:
    """An address on the web, of a mailbox, or relative to the page."""
    value = value.strip()
    if re.search(r"[\x00-\x1f\\]", value) or value.startswith("//"):
        return None
    if re.match(r"(?i)https?://|mailto:", value):
        return value
    return None if ":" in re.split(r"[/?#]", value, maxsplit=1)[0] else value


def _source(value: str) -> str | None:
    """A picture that is embedded; none is fetched."""
    value = "".join(value.split())
    return value if _DATA_PICTURE.fullmatch(value) else None


def _style(value: str) -> str | None:
    """Declarations whose property and value are both on a list."""
    kept = []
    for declaration in re.sub(r"(?s)/\*.*?\*/", " ", value).split(";"):
        name, _, text = declaration.partition(":")
        name, text = name.strip().lower(), text.strip()
        if name in CSS and _CSS_VALUE.fullmatch(text):
            kept.append(f"{name}: {text};")
    return " ".join(kept) or None


_CHECKED = {"href": _link, "src": _source, "style": _style}
