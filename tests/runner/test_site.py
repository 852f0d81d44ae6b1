"""The site shows what was executed, and text from data stays text."""

import base64
import re
from pathlib import Path

import nbformat.v4 as v4
import pytest

from workbench.runner import build, publish, series, site

FIXTURES = Path(__file__).parent / "fixtures"
SCRIPT = "<script>alert('data')</script>"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 40).decode()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A site of one executed notebook that shows markup from data in every form."""
    root = tmp_path_factory.mktemp("site")
    (root / "notebooks" / "src").mkdir(parents=True)
    text = (FIXTURES / "pass_markup.py").read_text()
    (root / "notebooks" / "src" / "01_markup.py").write_text(text)
    settings = series.Settings(root=root, profile="ci")
    [result] = series.run(series.sources(root), settings)
    assert result.passed, result.failures
    site.build_site(settings)
    return root / "site"


def test_a_script_in_data_is_text_on_the_notebooks_page(built):
    page = (built / "01_markup.html").read_text()
    shown = page[page.index("<body") :]
    assert "&lt;script&gt;alert(" in shown
    assert "<script" not in page


def test_a_script_in_a_claim_is_text_in_the_index(built):
    index = (built / "index.html").read_text()
    assert "<script" not in index
    assert "&lt;script&gt;alert(&#x27;data&#x27;)&lt;/script&gt;" in index
    assert 'href="01_markup.html"' in index
    assert "reproduced" in index


def test_no_page_loads_anything(built):
    for page in built.glob("*.html"):
        found = re.findall(
            r"<(?:script|img|link)\b[^>]*(?:src|href)=\"([^\"]+)", page.read_text()
        )
        assert [url for url in found if not url.startswith("data:")] == []
        assert "@import" not in page.read_text()


def html_of(*outputs) -> str:
    cell = v4.new_code_cell("1", execution_count=1, outputs=list(outputs))
    return site.notebook_html(v4.new_notebook(cells=[cell]), "title")


def test_the_picture_of_a_figure_is_in_the_page():
    figure = v4.new_output(
        "display_data",
        data={
            "application/vnd.plotly.v1+json": {"data": [], "layout": {}},
            "image/png": PNG,
            "text/plain": "reward against nats",
        },
        metadata={"image/png": {"alt": "reward against nats"}},
    )
    page = html_of(figure)
    assert f"data:image/png;base64,{PNG}" in page
    assert 'alt="reward against nats"' in page


def test_tables_and_source_keep_their_form_but_not_their_scripts():
    text = (
        '<table><tr><td style="color: red" onclick="go()">a</td></tr></table>'
        '<a href="javascript:go()">x</a><img src="https://example.org/a.png">'
        f"<style>td {{}}</style>{SCRIPT}<iframe src='x'></iframe>"
    )
    cleaned = site.clean_html(text)
    assert '<td style="color: red;">a</td>' in cleaned
    for word in (
        "onclick",
        "javascript",
        "example.org",
        "<style",
        "<script",
        "<iframe",
    ):
        assert word not in cleaned


def test_javascript_and_svg_outputs_run_nothing():
    svg = f"<svg xmlns='http://www.w3.org/2000/svg'>{SCRIPT}</svg>"
    page = html_of(
        v4.new_output("display_data", data={"application/javascript": "steal()"}),
        v4.new_output("display_data", data={"image/svg+xml": svg}),
    )
    assert "steal()" not in page
    assert "<script" not in page
    assert "data:image/svg+xml;base64," in page


def test_an_instrument_is_named_where_it_cannot_move():
    view = v4.new_output(
        "display_data",
        data={publish.WIDGET_VIEW: {"model_id": "0"}, "text/plain": "VBox()"},
    )
    cell = v4.new_code_cell("explore()", execution_count=1, outputs=[view])
    cleaned = publish.clean(v4.new_notebook(cells=[cell]), Path("/nowhere/at/all"))
    assert publish.LIVE_ONLY in site.notebook_html(cleaned, "title")


def test_an_unchanged_page_is_not_rendered_again(built):
    page = built / "01_markup.html"
    before = page.stat().st_mtime_ns
    site.build_site(series.Settings(root=built.parent, profile="ci"))
    assert page.stat().st_mtime_ns == before
    assert build.load(built.parent / "build" / "ci" / "01_markup.ipynb")


def test_formulas_are_drawn_without_a_script():
    text = (
        "$\\beta \\log Z$ and\n\n$$\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}$$"
    )
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell(text)])
    page = site.notebook_html(notebook, "title")
    assert page.count("<math") == 2
    assert page.count("<mtr>") == 2
    assert "<mi>β</mi>" in page
    assert "$" not in page[page.index("<main") :]
