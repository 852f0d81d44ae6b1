"""One HTML file with live figures that needs no network and no second file.

plotly's own script lies in the page, packed, and the browser unpacks it; a browser that
cannot, or an installation without plotly, shows the pictures. Everything else on the
page is text: a content security policy names the two scripts by their hashes, and no
other runs, nor is anything loaded.
"""

import gzip
import hashlib
import html
import json
from base64 import b64encode
from functools import cache
from importlib.resources import files
from pathlib import Path

from workbench.views.fig import Fig

FIT = Path(__file__).with_name("static") / "fit.js"
# a picture gives way to the live figure once that is drawn, and not before
LOADER = """
(async () => {
  "use strict";
  const packed = document.getElementById("plotly");
  if (!packed || !window.DecompressionStream) return;
  const bytes = Uint8Array.from(atob(packed.textContent), (c) => c.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(plain).text();
  document.head.append(script);
  for (const box of document.querySelectorAll("figure.live")) {
    const figure = JSON.parse(box.querySelector("script").textContent);
    const image = box.querySelector("img"), plot = document.createElement("div");
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", image.alt);
    image.after(plot);
    const most = box.clientWidth || figure.layout.width;
    const { data, layout } = window.workbench.fitted(figure, most);
    await window.Plotly.newPlot(plot, data, layout, { displaylogo: false });
    image.hidden = true;
  }
})();
"""


def document(title: str, style: str, body: str) -> str:
    """The whole file.

    Args:
        title: text.
        style: rules of CSS.
        body: HTML in which everything from data is escaped, with figures of ``live``.
    """
    unpacked, packed = _plotly()
    loader = f"{FIT.read_text(encoding='utf-8')}{LOADER}"
    allowed = " ".join(f"'sha256-{_hash(code)}'" for code in (loader, unpacked) if code)
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    scripts = ""
    if packed and 'class="live"' in body:
        scripts = (
            f'<script id="plotly" type="text/plain">{packed}</script>'
            f"<script>{loader}</script>"
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>"
        f"<body>{body}{scripts}</body></html>\n"
    )


def live(figure: Fig) -> str:
    """A figure as a picture, its live form beside it, caption and data below."""
    picture = b64encode(figure.png).decode()
    alt = html.escape(figure.alt, quote=True)
    # no text inside can end the element that holds it
    data = json.dumps(figure.plotly, sort_keys=True).replace("<", "\\u003c")
    return (
        f'<figure class="live"><img alt="{alt}" src="data:image/png;base64,{picture}">'
        f'<script type="application/json">{data}</script>{figure.html_below}</figure>'
    )


def _hash(code: str) -> str:
    return b64encode(hashlib.sha256(code.encode()).digest()).decode()


@cache
def _plotly() -> tuple[str, str]:
    """plotly's script, and the same packed; both empty where plotly is missing."""
    try:
        place = files("plotly").joinpath("package_data", "plotly.min.js")
        code = place.read_text(encoding="utf-8")
    except (ModuleNotFoundError, OSError):
        return "", ""
    return code, b64encode(gzip.compress(code.encode(), 9, mtime=0)).decode()
