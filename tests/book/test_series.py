"""The whole series as one book: nothing is missing, lost or too large."""

import json
import re
from pathlib import Path

import pytest

from tests.book.test_pages import read
from workbench import catalogue
from workbench.book import binding, judged
from workbench.book.pictures import PNG
from workbench.runner import build, series

ROOT = Path(__file__).parents[2]
LARGEST = 60e6  # bytes
SOURCES = series.sources(ROOT)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The book of the committed copies, built apart from the clone's own."""
    folder = tmp_path_factory.mktemp("whole")
    settings = series.Settings(root=ROOT, build=folder / "nothing-executed")
    binding.build_book(settings, folder / "site", folder / "work")
    return folder / "site"


def test_no_chapter_is_wider_than_a_phone(whole, chrome):
    page = chrome.new_page(viewport={"width": 390, "height": 900})
    wide = {}
    for source in SOURCES:
        page.goto((whole / f"{source.stem}.html").as_uri())
        root = "document.documentElement"
        size = page.evaluate(f"[{root}.scrollWidth, {root}.clientWidth]")
        if size[0] > size[1] + 1:
            wide[source.stem] = size
    page.close()
    assert wide == {}


# what a press of an arrow key changes on one slider of an instrument
PRESS = """async ([box, input]) => {
  const before = box.dataset.state, up = input.value !== input.max;
  input.value = Number(input.value) + (up ? 1 : -1);
  input.dispatchEvent(new Event("input", { bubbles: true }));
  for (let n = 0; n < 400 && box.dataset.state === before; n++)
    await new Promise((go) => setTimeout(go, 25));
  return box.dataset.state !== before;
}"""


def test_every_slider_of_the_book_moves_its_picture(whole, chrome):
    page = chrome.new_page(viewport={"width": 1280, "height": 900})
    asked, complaints, stuck, count = [], [], [], 0
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for source in SOURCES:
        page.goto((whole / f"{source.stem}.html").as_uri())
        for box in page.locator(".wb-instrument").all():
            box.scroll_into_view_if_needed()
            sliders = box.locator("input[type=range]").all()
            assert sliders, source.stem
            for slider in sliders:
                count += 1
                both = [box.element_handle(), slider.element_handle()]
                if not page.evaluate(PRESS, both):
                    stuck.append((source.stem, slider.get_attribute("id")))
            if "cannot be moved" in box.locator(".wb-said").inner_text():
                stuck.append((source.stem, box.locator(".wb-said").inner_text()))
    page.close()
    assert stuck == [] and complaints == [] and count > 40
    assert [
        url for url in asked if not url.startswith(("file:", "data:", "blob:"))
    ] == []


def committed(source: Path):
    return build.load(ROOT / "notebooks" / f"{source.stem}.ipynb")


def test_every_link_and_anchor_of_the_whole_book_holds(whole):
    lost = []
    for path in whole.rglob("*.html"):
        for _, address in read(path).addresses:
            if re.match(r"https?:|data:|mailto:", address):
                continue
            place, _, anchor = address.partition("?")[0].partition("#")
            target = (path.parent / place).resolve() if place else path
            there = target.is_file()
            if there and anchor and target.suffix == ".html":
                there = anchor in read(target).ids
            if not there:
                lost.append(f"{path.relative_to(whole)}: {address}")
    assert lost == []


def test_every_picture_is_shown_with_its_alt_sentence(whole):
    for source in SOURCES:
        text = (whole / f"{source.stem}.html").read_text(encoding="utf-8")
        alts = [
            output.metadata[PNG]["alt"]
            for cell in committed(source).cells
            for output in cell.get("outputs", ())
            if PNG in output.get("data", {})
        ]
        shown = read_alts(text)
        assert [alt for alt in alts if alt not in shown] == [], source.stem


def read_alts(text: str) -> set[str]:
    import html

    return {html.unescape(alt) for alt in re.findall(r' alt="([^"]*)"', text)}


def test_every_claim_has_its_anchor_and_its_row(whole):
    table = read(whole / "claims.html").addresses
    for source in SOURCES:
        found = judged.emitted(committed(source))
        ids = read(whole / f"{source.stem}.html").ids
        for claim in found:
            name = judged.anchor(claim["key"])
            assert name in ids, (source.stem, name)
            assert ("a", f"{source.stem}.html#{name}") in table


def test_every_lesson_and_method_has_a_page_and_no_formula_is_left_as_text(whole):
    names = [f"{source.stem}" for source in SOURCES]
    names += [f"methods/{key}" for key in catalogue.cards()]
    for name in names:
        text = (whole / f"{name}.html").read_text(encoding="utf-8")
        start = text.index('<article class="bd-article"')
        prose = re.sub(r"<(pre|code|script)\b.*?</\1>", "", text[start:], flags=re.S)
        assert "system-message" not in prose
        assert not re.search(r">[^<]*\\(beta|frac|pi|log)\b", prose), name


def test_no_page_names_a_folder_of_this_machine(whole):
    for path in [*whole.rglob("*.html"), whole / "searchindex.js"]:
        text = path.read_text(encoding="utf-8")
        assert str(ROOT) not in text, path
        assert str(whole.parent) not in text, path


def test_the_book_is_small_enough_to_ship(whole):
    files = [path for path in whole.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST
    assert json.loads((whole / ".book.json").read_text())
