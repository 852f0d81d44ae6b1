"""Nothing in an output runs, loads or leaves the page, whatever it is made of.

Whole pages are held to the same in tests/book.
"""

import base64
import html
import re
from html.parser import HTMLParser

import nbformat
import pytest

from workbench.runner import safe

GIF = b"GIF89a" + b"\0" * 20
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 20
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
WEBP = b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 20
EMBEDDED = "data:image/png;base64," + base64.b64encode(PNG).decode()

ADDRESSES = frozenset(
    "action background cite codebase data formaction href icon longdesc manifest "
    "ping poster profile src srcdoc srcset usemap xlink:href".split()
)
REFUSED = frozenset(
    "applet base embed form frame frameset iframe input link maction meta object "
    "script source svg template video audio".split()
)


class Faults(HTMLParser):
    """What a reader of a page would not want to meet, in order."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        own = {("meta", "charset"), ("meta", "name")}
        if tag in REFUSED and not (attrs and (tag, attrs[0][0]) in own):
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            value = value or ""
            if name.startswith("on") or name in ("actiontype", "http-equiv"):
                self.found.append(f"{tag} {name}")
            elif name in ADDRESSES and not self._stays(tag, name, value):
                self.found.append(f"{tag} {name}={value}")
            elif name == "style" and re.search(r"url|\\|@|position|/\*|image", value):
                self.found.append(f"{tag} style={value}")

    def _stays(self, tag: str, name: str, value: str) -> bool:
        if tag == "a" and name == "href":
            there = r"https?://[\w.]|mailto:|(?!//)[^:/?#\\]*([/?#][^\\]*)?$"
            return bool(re.match(there, value))
        shown = r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,[\w+/]+=*"
        return tag == "img" and name == "src" and bool(re.fullmatch(shown, value))

    handle_startendtag = handle_starttag


def cells(*outputs) -> str:
    """What a page shows of these outputs: clean HTML, or text that is escaped there."""
    parts = []
    for output in map(safe.safe_output, outputs):
        assert set(output.data) <= {"text/html", "text/plain"}
        assert not output.metadata
        text = html.escape(output.data.get("text/plain", ""))
        parts.append(output.data.get("text/html", f"<pre>{text}</pre>"))
    text = f"<div>{''.join(parts)}</div>"
    assert Faults(text).found == []
    return text


def display(data, metadata=None):
    """An output, which may be one that nbformat would refuse."""
    output = {"output_type": "display_data", "data": data, "metadata": metadata or {}}
    return nbformat.from_dict(output)


def shown(mime: str, value, metadata=None) -> str:
    """The cells of a page that shows one output of one type."""
    return cells(display({mime: value}, metadata))


MARKUP = [
    "<script>steal()</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script></script>ipt>steal()</script>",
    "<img src=x onerror=steal()>",
    "<img src='https://evil.example/x.png'>",
    "<img srcset='https://evil.example/x.png 2x'>",
    "<img src='data:text/html,<script>steal()</script>'>",
    "<img src='data:image/png;base64,AAAA\" onerror=\"steal()'>",
    "<img src='data:image/svg+xml,<svg onload=steal()>'>",
    "<svg onload=steal()><script>steal()</script></svg>",
    "<svg><image xlink:href='https://evil.example/x.png'/></svg>",
    "<math><maction actiontype='statusline#https://evil.example'>x</maction></math>",
    "<math href='javascript:steal()'><mi xlink:href='javascript:steal()'>x</mi></math>",
    "<math><mtext><table><mglyph><style><img src=x onerror=steal()></style></math>",
    "<iframe src='https://evil.example'></iframe>",
    "<iframe srcdoc='<script>steal()</script>'></iframe>",
    "<object data='https://evil.example'></object>",
    "<embed src='https://evil.example'>",
    "<form action='https://evil.example'><button formaction='//evil'>x</button></form>",
    "<meta http-equiv='refresh' content='0;url=https://evil.example'>",
    "<base href='https://evil.example/'>",
    "<link rel='stylesheet' href='https://evil.example/x.css'>",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<video poster='https://evil.example/x.png' src='https://evil.example/x'></video>",
    "<audio src='https://evil.example/x'></audio>",
    "<table background='https://evil.example/x.png'><tr><td>x</td></tr></table>",
    "<q cite='https://evil.example'>x</q>",
    "<details ontoggle=steal() open>x</details>",
    "<template><img src=x onerror=steal()></template>",
    "<noscript><p title=\"</noscript><img src=x onerror=steal()>\"></noscript>",
    "<!--><img src=x onerror=steal()>-->",
    "</div></div></main></body><script>steal()</script>",
]  # fmt: skip
LINKS = [
    "javascript:steal()",
    "JaVaScRiPt:steal()",
    " javascript:steal()",
    "java\tscript:steal()",
    "java\nscript:steal()",
    "\x01javascript:steal()",
    "&#106;avascript:steal()",
    "javascript&colon;steal()",
    "javascript://example.org/%0asteal()",
    "vbscript:steal()",
    "data:text/html,steal",
    "data:image/png;base64,AAAA",
    "file:///etc/passwd",
    "ftp://evil.example",
    "blob:https://evil.example/1",
    "//evil.example",
    "\\\\evil.example",
    "/\\evil.example",
    "http:evil.example",
]
STYLES = [
    "background: url(https://evil.example/x.png)",
    "background: URL( 'https://evil.example/x.png' )",
    "background: u\\72l(https://evil.example/x.png)",
    "background: ur/**/l(https://evil.example/x.png)",
    "background: image-set('https://evil.example/x.png' 1x)",
    "background-image: url(https://evil.example/x.png)",
    "list-style: url(https://evil.example/x.png)",
    "color: red; position: fixed; top: 0; left: 0",
    "POSITION:absolute",
    "width: expression(steal())",
    "behavior: url(x.htc)",
    "-moz-binding: url(x.xml)",
    "cursor: url(https://evil.example/x.cur), auto",
    "content: url(https://evil.example/x)",
    "font-family: 'a;position:fixed'",
    "width: calc(1px + url(https://evil.example/x))",
    "background: var(--x, url(https://evil.example/x))",
    "@import 'https://evil.example/x.css'",
]
FORMULAS = [
    r"\href{javascript:steal()}{x}",
    r"\href{https://evil.example}{x}",
    r"\text{<img src=x onerror=steal()>}",
    r"\text{</math><script>steal()</script>}",
    r"\mathrm{&lt;script&gt;steal()&lt;/script&gt;}",
    r"\style{position:fixed}{x}",
    r"\frac{",
    "{" * 3000,
]


@pytest.mark.parametrize("text", MARKUP)
def test_markup_of_an_html_output_runs_and_loads_nothing(text):
    assert "steal()</script" not in shown("text/html", f"<p>before</p>{text}")


@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_a_markdown_output_runs_and_loads_nothing(text):
    assert "before" in shown("text/markdown", f"*before*\n\n{text}\n\nand {text}")


@pytest.mark.parametrize("link", LINKS)
def test_a_link_goes_to_the_web_a_mailbox_or_the_site_only(link):
    for text in (f'<a href="{link}">word</a>', f"<a href='{link}'>word</a>"):
        assert ">word</a>" in shown("text/html", text)
        assert "href" not in safe.clean_html(text)
    for text in (f"[word]({link})", f"[word](<{link}>)", f"[word][1]\n\n[1]: {link}"):
        assert "word" in shown("text/markdown", text)
        assert "evil" not in shown("text/markdown", f"![]({link})")


@pytest.mark.parametrize(
    "link",
    ["https://arxiv.org/abs/1", "http://a.b/?c=d:e", "mailto:a@b.org", "20_dpo.html",
     "#part", "figures/a.png", "?a=b:c", "/index.html"],
)  # fmt: skip
def test_a_harmless_link_stays(link):
    assert f'href="{link}"' in safe.clean_html(f'<a href="{link}">x</a>')
    assert f'href="{link}"' in shown("text/markdown", f"[x]({link})")


@pytest.mark.parametrize("style", STYLES)
def test_a_style_fetches_nothing_and_stays_in_its_place(style):
    cleaned = safe.clean_html(f'<p style="{style}">x</p>')
    assert Faults(cleaned).found == []
    assert "evil" not in cleaned
    assert "x</p>" in shown("text/html", f'<p style="{style}">x</p>')


@pytest.mark.parametrize(
    "style",
    ["color: red;", "color: #0072b2; font-weight: bold;", "margin: 4px 0 0;",
     "background: rgb(1, 2, 3);", "border-left: 4px solid hsla(1, 2%, 3%, .5);",
     "font-family: 'Segoe UI', sans-serif;", "width: 50% !important;"],
)  # fmt: skip
def test_a_harmless_style_stays(style):
    assert f'style="{style}"' in safe.clean_html(f'<p style="{style}">x</p>')


@pytest.mark.parametrize("name", ["jp-HoverBox", "lm-cursor-backdrop", "wb-note"])
def test_an_output_cannot_dress_as_a_part_of_the_page(name):
    assert name not in shown("text/html", f'<p class="{name} dataframe">x</p>')


@pytest.mark.parametrize("tex", FORMULAS)
def test_a_formula_links_and_runs_nothing(tex):
    for text in (
        shown("text/latex", f"${tex}$"),
        shown("text/markdown", f"so ${tex}$"),
    ):
        assert "href" not in text
    assert Faults(safe.math_html(tex)).found == []


def test_text_in_a_formula_keeps_its_signs():
    assert "x&lt;y" in safe.math_html(r"\text{if x<y then}")
    assert "<mo>&lt;</mo>" in safe.math_html("a < b")


@pytest.mark.parametrize(
    "mime",
    ["application/javascript", "text/javascript", "text/vnd.mermaid",
     "application/vnd.jupyter.widget-view+json", "application/vnd.dataresource+json",
     "application/vnd.evil+json", "application/pdf", "application/x-shockwave-flash",
     "application/xhtml+xml", "text/x-html", "video/mp4", "image/bmp", "TEXT/HTML",
     "<script>steal()</script>"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["<img src=x onerror=steal()>", {"a": ["<script>"]}])
def test_a_type_that_no_page_shows_is_dropped(mime, value):
    alone = shown(mime, value)
    assert "steal()" not in alone.replace("&lt;script&gt;steal()", "")
    assert "nothing that a page can show" in alone
    beside = cells(display({mime: value, "text/plain": "a *word*"}))
    assert "a *word*" in beside
    assert "steal()" not in beside


@pytest.mark.parametrize(
    ("mime", "raw"),
    [
        ("image/png", PNG),
        ("image/jpeg", JPEG),
        ("image/gif", GIF),
        ("image/webp", WEBP),
    ],
)
def test_a_sound_picture_is_shown_with_its_alt_sentence(mime, raw):
    encoded = base64.b64encode(raw).decode()
    alt = 'reward "<b>" & KL'
    folded = "\n".join(re.findall(".{1,20}", encoded))
    text = shown(mime, folded, {mime: {"alt": alt}})
    assert f'src="data:{mime};base64,{encoded}"' in text
    assert 'alt="reward &quot;&lt;b&gt;&quot; &amp; KL"' in text


@pytest.mark.parametrize("mime", ["image/png", "image/jpeg", "image/gif", "image/webp"])
@pytest.mark.parametrize(
    "value",
    ['AAAA" onerror="steal()', "AAAA'><script>steal()</script>", "no base64!", "",
     "AAA", base64.b64encode(b"<svg onload=steal()>").decode(), 5, None, {"a": 1},
     "https://evil.example/x.png"],
)  # fmt: skip
def test_a_picture_that_is_none_is_named_and_dropped(mime, value):
    text = cells(display({mime: value, "text/plain": "words"}))
    assert "<img" not in text
    assert "steal" not in text
    assert "words" in text
    assert f"({mime}: nothing that a page can show)" in text


@pytest.mark.parametrize("alt", ["words", ["a"], 5, None])
@pytest.mark.parametrize("wrap", [lambda alt: {"alt": alt}, lambda alt: alt])
def test_metadata_of_any_form_is_borne(wrap, alt):
    encoded = base64.b64encode(PNG).decode()
    text = shown("image/png", encoded, metadata={"image/png": wrap(alt)})
    assert encoded in text


def test_an_svg_stands_inside_an_image():
    svg = "<svg xmlns='http://www.w3.org/2000/svg'><script>steal()</script></svg>"
    text = shown("image/svg+xml", svg)
    assert f"base64,{base64.b64encode(svg.encode()).decode()}" in text
    assert "<svg" not in text


def test_an_output_does_not_close_what_is_around_it():
    text = shown("text/html", "</div></div></div></main><p>inside</p>")
    assert "inside" in text
    assert text.count("</div>") == text.count("<div") == 1


def test_half_characters_and_long_nests_are_borne():
    assert "a" in cells(display({"text/html": "a\ud800b", "text/plain": "\udfff"}))
    assert "deep" in shown("text/html", "<div>" * 3000 + "deep")


def test_the_outputs_of_a_lesson_keep_their_form():
    table = (
        '<table class="dataframe" border="1"><caption style="color: red;">t</caption>'
        '<thead><tr><th scope="col">a</th></tr></thead><tbody><tr><td colspan="2">1'
        "</td></tr></tbody></table>"
    )
    assert safe.clean_html(table) == table.replace(' border="1"', "")
    text = f'<details open=""><summary>s</summary><img src="{EMBEDDED}" alt="a">'
    assert safe.clean_html(f"{text}</details>") == f"{text}</details>"
    code = shown("text/markdown", "```python\nx = 1\n```")
    assert '<div class="highlight">' in code
