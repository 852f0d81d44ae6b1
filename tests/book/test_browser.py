"""The book in a real browser, at the width of a desk and of a phone."""

import pytest

from tests.book.test_pages import PAGES

WIDTHS = (1280, 390)
KINDS = (
    "index", "10_all", "10a_study", "gallery", "claims", "glossary", "bibliography",
    "methods/dpo", "methods/index", "api/core", "search",
)  # fmt: skip
# nothing is fetched again to be looked at
OPTIONS = {"preload": False, "resultTypes": ["violations"]}


def opened(reader, served, name, width=1280, scheme="light"):
    page = reader(width, scheme).page
    page.goto(f"{served}/{name}.html")
    return page


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways(reader, served, width):
    watched = reader(width)
    for name in PAGES:
        watched.page.goto(f"{served}/{name}.html")
        wide = watched.page.evaluate(
            """() => { const root = document.documentElement;
              return [root.scrollWidth, root.clientWidth]; }"""
        )
        assert wide[0] <= wide[1], name


@pytest.mark.parametrize("width", WIDTHS)
def test_a_figure_becomes_live_when_it_is_near(reader, served, width):
    page = opened(reader, served, "10_all", width)
    figure = page.locator("#figure-1")
    figure.scroll_into_view_if_needed()
    page.wait_for_selector("#figure-1[data-state=live] .js-plotly-plot")
    assert not figure.locator("img").is_visible()
    plot = figure.locator(".wb-plot")
    assert plot.get_attribute("aria-label") == 'reward "<b>" & KL'
    assert plot.bounding_box()["width"] <= width
    figure.get_by_role("button", name="Picture").click()
    assert figure.locator("img").is_visible() and not plot.is_visible()
    figure.get_by_role("button", name="Live").click()
    page.wait_for_selector("#figure-1 .wb-plot:not([hidden])")


def test_panels_stand_side_by_side_at_a_desk_and_are_stacked_on_a_phone(reader, served):
    places = {}
    for width in WIDTHS:
        page = opened(reader, served, "10_all", width)
        page.locator("#figure-1").scroll_into_view_if_needed()
        page.wait_for_selector("#figure-1 .subplot.x2y2")
        boxes = page.evaluate(
            """["xy", "x2y2"].map(name => {
              const grid = `#figure-1 .subplot.${name} .gridlayer`;
              const box = document.querySelector(grid).getBoundingClientRect();
              return [box.left, box.top, box.right, box.bottom];
            })"""
        )
        places[width] = boxes
    (left, right), (upper, lower) = places[1280], places[390]
    assert left[2] < right[0] and left[1] == pytest.approx(right[1], abs=3)
    assert upper[3] < lower[1] and upper[0] == pytest.approx(lower[0], abs=3)


def test_without_a_script_a_page_is_whole(chrome, served):
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{served}/10_all.html")
    assert page.locator("#figure-1 img").is_visible()
    assert not page.locator(".wb-instrument").first.is_visible()
    context.close()


# ---- an instrument ------------------------------------------------------------------


def lines(page):
    """What the dial shows now: the first line's heights and the second's name."""
    return page.evaluate(
        """() => { const plot = document.querySelector("#figure-2 .js-plotly-plot");
          return [plot.data[0].y, plot.data[1].name]; }"""
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_an_instrument_is_moved_by_keys_and_says_what_is_seen(reader, served, width):
    page = opened(reader, served, "10_all", width)
    slider = page.get_by_label("Height:")
    slider.scroll_into_view_if_needed()
    slider.focus()
    assert slider.get_attribute("aria-valuetext") == "3"
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector('.wb-instrument[data-state="1,0"]')
    assert lines(page) == [[0, 2], "b0"]
    said = page.locator(".wb-said")
    assert said.inner_text() == "It rises to 2, b0."
    assert said.get_attribute("aria-live") == "polite"
    assert slider.get_attribute("aria-valuetext") == "2"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('.wb-instrument[data-state="1,1"]')
    assert lines(page) == [[0, 2], "b1"]
    page.get_by_role("button", name="Reset").click()
    page.wait_for_selector('.wb-instrument[data-state="2,0"]')
    assert lines(page) == [[0, 3], "b0"]


def test_an_instrument_is_moved_by_a_drag(reader, served):
    page = opened(reader, served, "10_all")
    slider = page.get_by_label("Height:")
    slider.scroll_into_view_if_needed()
    # what comes alive above it moves it down
    page.wait_for_selector("#figure-2 .js-plotly-plot")
    page.wait_for_timeout(300)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 8, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 4, middle, steps=12)
    page.wait_for_selector('.wb-instrument[data-state="0,0"]')
    page.mouse.up()
    assert lines(page) == [[0, 1], "b0"]
    assert page.locator(".wb-said").inner_text() == "It rises to 1, b0."


def test_an_instrument_with_a_rule_is_computed_by_the_page(reader, served):
    page = opened(reader, served, "10a_study")
    slider = page.locator("#figure-1 .wb-instrument input").first
    slider.scroll_into_view_if_needed()
    slider.focus()
    page.keyboard.press("Home")
    page.wait_for_selector('#figure-1 .wb-instrument[data-state="0"]')
    word = slider.get_attribute("aria-valuetext")
    said = page.locator("#figure-1 .wb-said").inner_text()
    assert said.startswith(f"With ε = {word} the gain of a praised token is flat above")
    shape = "document.querySelector('#figure-1 .js-plotly-plot').layout.shapes[1].x0"
    assert page.evaluate(shape) == pytest.approx(1 + float(word))


def order(box) -> list[str]:
    """The methods of the arena's table, as they stand there now."""
    return box.locator("tbody tr:not([hidden]) th").all_inner_texts()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_is_sorted_by_its_heads_and_moves_the_figure(reader, served, width):
    page = opened(reader, served, "10a_study", width)
    figure = page.locator("#figure-2")
    box = figure.locator(".wb-sort")
    box.scroll_into_view_if_needed()
    gold, kl = (
        box.get_by_role("columnheader", name=name, exact=True)
        for name in ("gold", "kl")
    )
    assert order(box) == ["a", "b", "<i>c</i>"]
    assert gold.get_attribute("aria-sort") == "descending"
    kl.get_by_role("button").click()
    page.wait_for_selector('#figure-2 .wb-instrument[data-state^="1,"]')
    assert order(box) == ["b", "<i>c</i>", "a"]
    assert kl.get_attribute("aria-sort") == "ascending"
    assert gold.get_attribute("aria-sort") is None
    assert "b leads" in figure.locator(".wb-said").inner_text()
    kl.get_by_role("button").focus()
    page.keyboard.press("Enter")  # turned round; the figure stays
    assert kl.get_attribute("aria-sort") == "descending"
    assert order(box) == ["a", "<i>c</i>", "b"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    page.wait_for_selector('#figure-2 .wb-instrument[data-state^="0,"]')
    assert order(box) == ["a", "b", "<i>c</i>"]
    field = box.get_by_role("searchbox", name="method with")
    field.fill("0.4")  # no number is searched, only names are
    assert order(box) == []
    field.fill("B")
    assert order(box) == ["b"] and "1 of 3 rows" in box.inner_text()
    kl.get_by_role("button").click()
    figure.get_by_role("button", name="Reset").click()
    assert gold.get_attribute("aria-sort") == "descending"


# ---- reading ------------------------------------------------------------------------


def test_the_search_finds_a_word(reader, served):
    page = opened(reader, served, "search")
    page.goto(f"{served}/search.html?q=zebrafish")
    found = page.locator("#search-results a").first
    found.wait_for()
    assert "glossary.html" in page.content()
    assert page.locator('#search-results a[href*="glossary.html"]').count() >= 1


def test_the_search_is_reached_from_a_page(reader, served):
    page = opened(reader, served, "10_all")
    page.keyboard.press("Control+k")
    page.keyboard.type("zebrafish")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=zebrafish*")
    page.locator('#search-results a[href*="glossary.html"]').first.wait_for()


def test_the_search_works_on_files_without_a_server(reader, book):
    page = reader().page
    page.goto(f"{(book / 'search.html').as_uri()}?q=zebrafish")
    page.locator('#search-results a[href*="glossary.html"]').first.wait_for()
    page.goto((book / "10_all.html").as_uri())
    page.locator("#figure-1").scroll_into_view_if_needed()
    page.wait_for_selector("#figure-1 .js-plotly-plot")


def test_dark_mode_is_switched_and_kept(reader, served):
    page = opened(reader, served, "10_all")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.locator(".theme-switch-button").first.click()
    page.locator('.theme-change-button[data-mode="dark"]').first.click()
    dark = page.evaluate(colour)
    assert dark != light
    page.goto(f"{served}/index.html")
    assert page.evaluate(colour) == dark


def test_a_solution_is_folded_until_it_is_asked_for(reader, served):
    page = opened(reader, served, "10_all")
    words = page.get_by_text("folded words")
    code = page.get_by_text("folded_cell")
    assert not words.is_visible() and not code.first.is_visible()
    for summary in page.locator("details > summary", has_text="Solution").all():
        summary.click()
    assert words.is_visible() and code.first.is_visible()


def test_an_anchor_leads_to_a_claim(reader, served):
    page = reader().page
    page.goto(f"{served}/claims.html")
    page.locator('a[href="10_all.html#claim-first"]').first.click()
    page.wait_for_url("**/10_all.html#claim-first")
    box = page.locator("#claim-first").bounding_box()
    assert 0 <= box["y"] < 900


def test_a_line_has_about_seventy_characters(reader, served):
    page = opened(reader, served, "index")
    wide = page.evaluate(
        """() => { const p = document.querySelector(".bd-article p"),
          probe = document.createElement("span"); probe.textContent = "0".repeat(75);
          p.append(probe); probe.style.whiteSpace = "nowrap";
          const widths = [p.getBoundingClientRect().width, probe.offsetWidth];
          probe.remove(); return widths; }"""
    )
    assert wide[0] <= wide[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_are_accessible(reader, served, width, scheme):
    """axe-core finds nothing serious on any kind of page."""
    from axe_playwright_python.sync_playwright import Axe

    axe, found = Axe(), []
    watched = reader(width, scheme)
    for name in KINDS:
        watched.page.goto(f"{served}/{name}.html")
        if name == "10_all":
            watched.page.locator("#figure-1").scroll_into_view_if_needed()
            watched.page.wait_for_selector("#figure-1 .js-plotly-plot")
        for each in axe.run(watched.page, options=OPTIONS).response["violations"]:
            if each["impact"] in ("serious", "critical"):
                nodes = [node["html"][:160] for node in each["nodes"][:3]]
                found.append(f"{name}: {each['id']}: {nodes}")
    assert found == []
