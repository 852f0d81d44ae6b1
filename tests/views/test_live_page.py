"""A page whose figures live without a network, and on which nothing else runs."""

import base64
import gzip
import hashlib
import json
import re
from importlib.resources import files

import pandas as pd

from workbench.views import live_page
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Points

EVIL = "</script><script>document.title='ran'</script><img src=x onerror=document.x>"


def page(body: str = "") -> str:
    points = Points([1, 2], [3, 4], EVIL, hover=[EVIL, "b"])
    made = Fig(
        Panels([Chart("Two points", "x (nats)", "y (nats)", [points])]),
        EVIL, pd.DataFrame({"a": [EVIL]}),
    )  # fmt: skip
    return live_page.document(EVIL, "", body + live_page.live(made))


def test_the_page_carries_plotly_and_names_what_may_run():
    text = page()
    packed = re.search(r'<script id="plotly" type="text/plain">(.*?)</script>', text)[1]
    plotly = gzip.decompress(base64.b64decode(packed))
    place = files("plotly").joinpath("package_data", "plotly.min.js")
    assert plotly == place.read_bytes()
    # data, plotly and the loader; what stands in the data ends no element
    bodies = re.findall(r"<script[^>]*>(.*?)</script>", text, re.S)
    assert len(bodies) == 3
    allowed = set(re.search("script-src ([^;]*);", text)[1].split())
    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(code).digest()).decode()}'"
        for code in (bodies[2].encode(), plotly)
    }
    assert allowed == hashes and "default-src 'none'" in text
    assert EVIL.encode() not in text.encode()
    assert json.loads(bodies[0])["data"][0]["y"] == [3.0, 4.0]
    assert len(text) < 3_000_000


def test_without_plotly_the_pictures_stay(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    live_page._plotly.cache_clear()
    monkeypatch.setattr(live_page, "files", missing)
    try:
        text = page()
    finally:
        live_page._plotly.cache_clear()
    assert "data:image/png" in text and "DecompressionStream" not in text
    assert len(text) < 200_000


def test_in_a_browser_the_figure_lives_and_a_script_of_the_data_does_not(
    chrome, tmp_path
):
    """The script in the body stands for text that somebody forgot to escape."""
    path = tmp_path / "page.html"
    path.write_text(page("<script>document.title='ran'</script>"))
    shown, asked = chrome.new_page(), []
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(path.as_uri())
    shown.wait_for_selector("figure .main-svg")
    assert not shown.locator("figure img").is_visible()
    assert shown.locator("figure .scatterlayer .point").count() == 2
    assert shown.title() == EVIL
    assert asked == [path.as_uri()]
    plain = chrome.new_context(java_script_enabled=False).new_page()
    plain.goto(path.as_uri())
    assert plain.locator("figure img").is_visible()
