"""Slides open at headings, load nothing, and move by the keyboard in a real browser."""

import re
from pathlib import Path

import nbformat.v4 as v4
import pytest

from workbench.classroom import slides
from workbench.core.errors import BadFile, BadOption
from workbench.runner import build, series

ROOT = Path(__file__).parents[2]
LESSONS = [p for p in series.sources(ROOT) if p.stem[2] == "_"]
# a picture of one pixel
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)


def text(source):
    return v4.new_markdown_cell(source)


def code(source, *outputs, tags=()):
    shown = [v4.new_output("display_data", data=data) for data in outputs]
    return v4.new_code_cell(source, outputs=shown, metadata={"tags": list(tags)})


def deck_of(*cells):
    return slides.columns(v4.new_notebook(cells=list(cells)))


def test_a_heading_opens_a_slide_and_its_cells_stand_below_it():
    found = deck_of(
        text("# Title\nfirst"),
        code("1 + 1", {"text/plain": "2"}),
        text("more\n## One $\\beta$\nwords\n## Two\nlast"),
        code("draw()", {"image/png": PIXEL, "text/plain": "alt"},
             {"text/html": "<p>caption</p>"}),
    )  # fmt: skip
    assert [(c.title, len(c.parts)) for c in found] == [
        ("Title", 3), ("One beta", 1), ("Two", 3)]  # fmt: skip
    assert "<h1>Title</h1>" in found[0].parts[0]
    assert "1</span>" in found[0].parts[1] and ">2</pre>" in found[0].parts[1]
    picture = found[2].parts[2]
    assert "<img" in picture and "caption" in picture


def test_a_mark_in_a_listing_opens_no_slide():
    found = deck_of(text("## One\n```\n## no heading\n```\nend"))
    assert len(found) == 1 and len(found[0].parts) == 1


def test_settings_imports_and_solutions_are_left_out():
    found = deck_of(
        text("## One"),
        code("PROFILE = 'ci'", tags=["parameters"]),
        code("install()", tags=["install"]),
        code("from workbench.lesson import *"),
        code("secret = 1", {"text/plain": "1"}, tags=["solution"]),
    )
    assert [len(column.parts) for column in found] == [1]


def test_a_prediction_is_shown_without_its_call():
    [column] = deck_of(
        text("## One"), code('teach.predict("20-1", "?")', {"text/html": "<b>ask</b>"})
    )
    assert "teach" not in column.parts[1] and "<b>ask</b>" in column.parts[1]


def test_what_does_not_fit_goes_on_below():
    [column] = deck_of(
        text("## One"), code("show()", *[{"text/plain": "x\n" * 15 + "end"}] * 3)
    )
    assert len(column.parts) == 4


def test_outputs_and_texts_can_do_nothing():
    bad = "<script>alert(1)</script><img src='http://x.org/a.png' onerror='b()'>"
    html = slides.deck(
        v4.new_notebook(
            cells=[text(f"## One {bad}\n[a](21_links.ipynb) [b](javascript:c)"),
                   code("show('</script>')", {"text/html": bad})]
        ),
        "</title><script>x</script>",
    )  # fmt: skip
    assert html.count("<script>") == 1
    assert not re.search(r"<[^>]*(onerror|x\.org)", html)
    assert "21_links" not in html and "javascript:" not in html
    assert "default-src 'none'" in html


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_lesson_makes_slides(path):
    """About one a heading, and no formula left as its source."""
    notebook = build.load(ROOT / f"notebooks/{path.stem}.ipynb")
    found = slides.columns(notebook)
    assert 8 <= len(found) <= 25
    assert all(column.title for column in found)
    body = "".join(part for column in found for part in column.parts)
    assert "<math" in body and "teach.solution" not in body
    prose = re.sub(r"(?s)<pre.*?</pre>|<code>.*?</code>", "", body)
    assert "$" not in prose


# ---- the file ---------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path):
    """A clone with one published lesson, and its source."""
    source = tmp_path / "notebooks" / "src" / "20_dpo.py"
    source.parent.mkdir(parents=True)
    source.write_text((ROOT / "notebooks/src/20_dpo.py").read_text("utf-8"), "utf-8")
    data = (ROOT / "notebooks/20_dpo.ipynb").read_bytes()
    (tmp_path / "notebooks" / "20_dpo.ipynb").write_bytes(data)
    return tmp_path, source


def test_slides_are_written_and_renewed(clone):
    root, source = clone
    out = slides.write(root, source)
    assert out == root / "build" / "slides" / "20_dpo.html"
    assert slides.write(root, source) == out
    assert len(out.read_bytes()) < 2_000_000


def test_another_file_is_not_replaced(clone, tmp_path):
    root, source = clone
    mine = tmp_path / "talk.html"
    mine.write_text("<html>mine</html>")
    with pytest.raises(BadOption, match="holds no slides"):
        slides.write(root, source, mine)
    assert mine.read_text() == "<html>mine</html>"


def test_a_lesson_without_outputs_has_no_slides_yet(clone):
    root, source = clone
    build.write(build.read(source).notebook, root / "notebooks" / "20_dpo.ipynb")
    with pytest.raises(BadFile, match="no outputs"):
        slides.write(root, source)
    (root / "notebooks" / "20_dpo.ipynb").unlink()
    with pytest.raises(BadFile, match="missing file"):
        slides.write(root, source)


# ---- in a browser -----------------------------------------------------------------


@pytest.fixture(scope="module")
def page(chrome, tmp_path_factory):
    """The slides of lesson 20 in Chromium; requests and complaints are kept."""
    out = tmp_path_factory.mktemp("slides") / "20.html"
    slides.write(ROOT, ROOT / "notebooks/src/20_dpo.py", out)
    page = chrome.new_page(viewport={"width": 1280, "height": 720})
    page.seen = []
    page.on("request", lambda request: page.seen.append(request.url))
    page.on("pageerror", lambda error: page.seen.append(f"error: {error}"))
    page.on("console", lambda line: page.seen.append(f"console: {line.text}"))
    page.goto(out.as_uri())
    return page


def at(page) -> tuple[int, int]:
    shown = page.locator(".slide.now")
    assert shown.count() == 1
    return int(shown.get_attribute("data-column")), int(shown.get_attribute("data-row"))


def test_the_keyboard_moves(page):
    page.keyboard.press("Home")
    assert at(page) == (0, 0)
    for key, place in (
        ("ArrowRight", (1, 0)), ("ArrowDown", (1, 1)), ("ArrowUp", (1, 0)),
        ("ArrowUp", (1, 0)), ("ArrowLeft", (0, 0)), ("ArrowLeft", (0, 0)),
        (" ", (1, 0)), ("PageDown", (1, 1)), ("PageUp", (1, 0)),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert at(page) == place, key
    page.keyboard.press("End")
    last = at(page)
    page.keyboard.press("ArrowRight")
    assert at(page) == last
    assert page.url.endswith(f"#{last[0] + 1}.{last[1] + 1}")


def test_buttons_move_and_say_where_one_is(page):
    page.keyboard.press("Home")
    page.get_by_role("button", name="On").click()
    assert at(page) == (1, 0)
    assert page.locator("#place").inner_text().startswith("2.1 of ")


def test_every_slide_fits(page):
    """Nothing is cut off, and nothing is shrunk below what can be read."""
    measured = page.evaluate(
        """() => slides.map(s => {
          const inner = s.querySelector('.inner'), box = inner.getBoundingClientRect();
          return [+inner.style.zoom, inner.classList.contains('tall'),
                  inner.scrollWidth - inner.clientWidth,
                  box.bottom - s.getBoundingClientRect().top];
        })"""
    )
    assert len(measured) > 30
    assert min(zoom for zoom, _, _, _ in measured) >= 0.6
    assert not any(tall for _, tall, _, _ in measured)
    assert max(over for _, _, over, _ in measured) <= 1
    assert max(bottom for _, _, _, bottom in measured) <= 720


def test_a_small_window_shows_the_whole_slide(page):
    page.set_viewport_size({"width": 640, "height": 480})
    box = page.locator(".slide.now").bounding_box()
    assert (round(box["width"]), round(box["height"])) == (640, 360)
    page.set_viewport_size({"width": 1280, "height": 720})


def test_nothing_was_asked_for_but_the_file(page):
    assert [url for url in page.seen if not url.startswith("data:")] == page.seen[:1]
    assert page.seen[0].startswith("file://")
