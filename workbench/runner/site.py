"""The site: one page a notebook, and an index with the claims and the methods.

Pages are rendered from the executed copies, so they cannot disagree with the runner.
Whatever comes from data (outputs, claims, cards) is escaped or cleaned: a `<script>` in
a review is text. No page loads anything from the network.
"""

import base64
import csv
import hashlib
import html
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench.runner import build, verdict
from workbench.runner.job import Settings
from workbench.runner.publish import clean
from workbench.runner.series import sources

CLAIM_COLUMNS = ("notebook", "statement", "paper", "expected", "seen", "verdict")
METHOD_COLUMNS = ("key", "title", "family", "paper", "check", "notebook")
TAGS = frozenset(
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em "
    "figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s small "
    "span strong sub summary sup table tbody td tfoot th thead tr u ul".split()
)
ATTRIBUTES = {
    "*": ["class", "style", "title", "id", "role", "lang", "aria-label"],
    "a": ["href"],
    "img": ["src", "alt", "width", "height"],
    "td": ["colspan", "rowspan"],
    "th": ["colspan", "rowspan", "scope"],
    "details": ["open"],
}
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
  border-bottom: 1px solid #8884; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.failed { color: #b3261e; font-weight: 600; }
.scroll { overflow-x: auto; }
"""


def build_site(settings: Settings, site: Path | None = None) -> Path:
    """Write the index and one page for each executed notebook.

    Args:
        settings: the profile whose executed copies are shown.
        site: folder to write; default `root/site`.

    Returns:
        The index.
    """
    site = site or settings.root / "site"
    site.mkdir(parents=True, exist_ok=True)
    rows, claims = [], []
    for path in sources(settings.root):
        source = build.read(path)
        executed = settings.folder / f"{source.name}.ipynb"
        record = _record(settings, source.name)
        row = {"source": source, "record": record, "page": None}
        if executed.exists():
            notebook = build.load(executed)
            row["page"] = f"{source.name}.html"
            _write_page(notebook, source.title, site / row["page"], settings)
            claims += [
                {"notebook": source.name, **claim} for claim in _claims(notebook)
            ]
        else:
            claims += _claims_on_file(settings.root, source.name)
        rows.append(row)
    pages = {row["page"] for row in rows} | {"index.html"}
    for old in site.glob("*.html"):
        if old.name not in pages:
            old.unlink()
    index = site / "index.html"
    index.write_text(_index(rows, claims, settings), encoding="utf-8")
    return index


def notebook_html(notebook: Any, title: str) -> str:
    """A page of a notebook that loads nothing and runs nothing.

    Args:
        notebook: a cleaned executed copy.
        title: the page's title.

    Returns:
        HTML with pictures embedded, formulas as MathML and no script at all.
    """
    from traitlets.config import Config

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [_safe(output) for output in cell.outputs]
    options = {"template_name": "lab", "embed_images": True}
    exporter = _exporter()(config=Config({"HTMLExporter": options}))
    body, _ = exporter.from_notebook_node(
        notebook, resources={"metadata": {"name": title}}
    )
    # The template's own scripts (MathJax, require.js, mermaid) come from the network.
    return re.sub(r"(?is)<script\b.*?</script\s*>", "", body)


def math_html(tex: str, display: bool = False) -> str:
    """A formula as MathML, which browsers draw without a script.

    Args:
        tex: LaTeX without its dollars.
        display: on a line of its own.
    """
    from latex2mathml.converter import convert

    tex = re.sub(r"\\(begin|end)\{(?:aligned|gathered)\}", r"\\\1{split}", tex.strip())
    return convert(tex, display="block" if display else "inline")


def _exporter() -> type:
    """nbconvert's HTML exporter with formulas as MathML."""
    from jinja2 import pass_context
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return math_html(body)

        def block_math(self, body: str) -> str:
            return math_html(body, display=True)

        def latex_environment(self, name: str, body: str) -> str:
            tex = f"\\begin{{{name}}}{body}\\end{{{name}}}"
            return math_html(tex, display=True)

    class Exporter(HTMLExporter):
        @pass_context
        def markdown2html(self, context: Any, source: str) -> str:
            cell = context.get("cell", {})
            renderer = Renderer(
                escape=False,
                attachments=cell.get("attachments", {}),
                embed_images=self.embed_images,
                exclude_anchor_links=True,
            )
            return MarkdownWithMath(renderer=renderer).render(source)

    return Exporter


def table(columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> str:
    """An HTML table of escaped text; a value of type `Markup` is taken as it is."""
    columns = list(columns)
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    lines = [f"<thead><tr>{head}</tr></thead>"]
    for row in rows:
        cells = "".join(f"<td>{_text(row.get(column, ''))}</td>" for column in columns)
        lines.append(f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


class Markup(str):
    """A string that is HTML already."""


def _write_page(notebook: Any, title: str, page: Path, settings: Settings) -> None:
    cleaned = clean(notebook, settings.root)
    parts = (json.dumps(cleaned).encode(), title.encode(), Path(__file__).read_bytes())
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    mark = f"<!-- workbench {key} -->"
    if page.exists() and mark in page.read_text(encoding="utf-8")[-80:]:
        return
    body = notebook_html(cleaned, title)
    back = (
        '<p style="margin:1rem 2rem"><a href="index.html">All notebooks</a> · '
        f"profile {html.escape(settings.profile)}</p>"
    )
    body = re.sub(r"(<body[^>]*>)", lambda m: m.group(1) + back, body, count=1)
    page.write_text(f"{body}\n{mark}\n", encoding="utf-8")


def _index(
    rows: list[dict[str, Any]], claims: list[dict[str, Any]], settings: Settings
) -> str:
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>workbench</title><style>{STYLE}</style></head><body>",
        "<h1>workbench</h1>",
        "<p>Preference optimisation and RLHF held against exact answers. Every page "
        "below is a notebook as it was executed at the profile "
        f"<b>{html.escape(settings.profile)}</b>; open them live with "
        "<code>make lab</code>.</p>",
        "<h2>Notebooks</h2>",
        table(("notebook", "part", "seconds", "verdict"), map(_notebook_row, rows)),
        "<h2>Claims</h2>",
    ]
    if claims:
        parts.append(table(CLAIM_COLUMNS, map(_claim_row, claims)))
    else:
        parts.append("<p>No notebook has judged a claim yet.</p>")
    methods = _methods()
    if methods:
        parts += ["<h2>Methods</h2>", table(METHOD_COLUMNS, methods)]
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _notebook_row(row: dict[str, Any]) -> dict[str, Any]:
    source, record = row["source"], row["record"]
    title = html.escape(source.title)
    if row["page"]:
        title = f'<a href="{html.escape(row["page"])}">{title}</a>'
    if record is None:
        state = "not executed" if row["page"] is None else "did not finish"
        return {"notebook": Markup(title), "part": source.part, "verdict": state}
    failures = record["failures"]
    reason = html.escape("; ".join(f"{f['kind']}: {f['message']}" for f in failures))
    state = Markup(f'<span class="failed">{reason}</span>') if failures else "passed"
    return {
        "notebook": Markup(title),
        "part": source.part,
        "seconds": f"{record['seconds']:.1f}",
        "verdict": state,
    }


def _claim_row(claim: dict[str, Any]) -> dict[str, Any]:
    return {**claim, "seen": _seen(claim)}


def _seen(claim: dict[str, Any]) -> str:
    def number(value: Any) -> str:
        return "" if value in (None, "", "nan") else f"{float(value):.3g}"

    mean, low, high = (number(claim.get(key)) for key in ("mean", "low", "high"))
    span = f" [{low}, {high}]" if low and high else ""
    seeds = claim.get("seeds")
    how = "exact" if claim.get("kind") == "exact" else f"{seeds} seeds"
    return f"{mean} {claim.get('unit', '')}{span}" + (f", {how}" if seeds else "")


def _claims(notebook: Any) -> list[dict[str, Any]]:
    """Claims of a notebook; of several with one key the last counts."""
    return list(
        {claim.get("key"): claim for claim in verdict.claims(notebook)}.values()
    )


def _claims_on_file(root: Path, name: str) -> list[dict[str, Any]]:
    path = root / "data" / "results" / name / "claims.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{**row, "notebook": name} for row in csv.DictReader(file)]


def _methods() -> list[dict[str, str]]:
    from workbench import catalogue

    return catalogue.table()


def _record(settings: Settings, name: str) -> dict[str, Any] | None:
    path = settings.folder / ".records" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _text(value: Any) -> str:
    return value if isinstance(value, Markup) else html.escape(str(value))


def _safe(output: Any) -> Any:
    """An output whose markup cannot run or load anything."""
    if "data" not in output:
        return output
    data = output.data
    data.pop("application/javascript", None)
    if "text/html" in data:
        data["text/html"] = clean_html(data["text/html"])
    elif "text/markdown" in data:
        data["text/markdown"] = data["text/markdown"].replace("<", "&lt;")
    elif "image/svg+xml" in data:
        # An SVG inside <img> runs no script.
        encoded = base64.b64encode(data.pop("image/svg+xml").encode()).decode()
        data["text/html"] = _image("image/svg+xml", encoded, output)
    elif "text/latex" in data:
        tex = data.pop("text/latex").strip().strip("$")
        data["text/html"] = math_html(tex.replace(r"\displaystyle", ""), display=True)
    elif "image/png" in data or "image/jpeg" in data:
        mime = "image/png" if "image/png" in data else "image/jpeg"
        data["text/html"] = _image(mime, data[mime], output)
    elif "text/plain" not in data:
        data["text/plain"] = "(" + ", ".join(sorted(data)) + ")" if data else ""
    return output


def _image(mime: str, encoded: str, output: Any) -> str:
    """A picture with its alt sentence, which nbconvert would drop."""
    alt = output.get("metadata", {}).get(mime, {}).get("alt")
    alt = html.escape(alt or output.data.get("text/plain", ""), quote=True)
    encoded = "".join(encoded.split())
    return f'<img src="data:{mime};base64,{encoded}" alt="{alt}">'


def clean_html(text: str) -> str:
    """HTML reduced to tags and attributes that only show text, tables and pictures."""
    import bleach
    from bleach.css_sanitizer import CSSSanitizer

    text = re.sub(r"(?is)<(style|script)\b.*?</\1\s*>", "", text)
    cleaner = bleach.Cleaner(
        tags=TAGS,
        attributes=ATTRIBUTES,
        protocols={"data", "http", "https", "mailto"},
        css_sanitizer=CSSSanitizer(allowed_css_properties=CSS),
        strip=False,
    )
    cleaned = cleaner.clean(text)
    # Pictures may be embedded, never fetched.
    return re.sub(r'(<img\b[^>]*\bsrc=")(?!data:image/)[^"]*"', r'\1"', cleaned)


CSS = frozenset(
    "background background-color border border-bottom border-collapse border-color "
    "border-left border-radius border-right border-spacing border-top color display "
    "flex float font-family font-size font-style font-variant-numeric font-weight gap "
    "height letter-spacing line-height list-style margin margin-bottom margin-left "
    "margin-right margin-top max-height max-width min-width opacity overflow "
    "overflow-x padding padding-bottom padding-left padding-right padding-top "
    "text-align text-decoration text-indent vertical-align white-space width".split()
)
