"""The instruments, moved with the keyboard in a real JupyterLab."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "build" / "screenshots"
WAIT = 60_000  # ms

SETUP = """
import torch
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.views.instruments import beta_explorer, token_microscope
from workbench.views.instruments.token_state import token_frame
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

world = Reviews(max_words=3)
generator = torch.Generator().manual_seed(0)
noise = torch.randn(world.gold.shape, generator=generator, dtype=torch.float64)
ref, proxy = world.author, 0.5 * world.gold + noise
"""
EXPLORER = "explorer = beta_explorer(world, ref, proxy)\nexplorer"
MICROSCOPE = """
pairs = sample_pairs(world, ref, 8, Annotator(), generator)
after = solutions.optimal_policy(ref, world.gold, 3.0)
frame = token_frame(world, pairs, ref, ref, after, reward=world.gold, beta=1.0)
microscope = token_microscope(frame)
microscope
"""
SORTER = """
import pandas as pd
from workbench import experiment

rows = [("first", 0, 0.9, 3.0), ("second", 0, 0.4, 0.2), ("third", 0, 0.1, 1.0)]
table = pd.DataFrame(rows, columns=["method", "seed", "gold", "kl"])
sorter = experiment.sorter(table.assign(outside=False, problem=""))
sorter
"""
ERRORS = """
each = (explorer, microscope, sorter)
print('errors', *(one.last_error for one in each))
"""


def run_notebook(page, address: str) -> None:
    """Open the notebook, wait for its kernel, run all cells to the end."""
    page.goto(address)
    page.wait_for_function("() => window.jupyterapp !== undefined")
    page.evaluate("async () => { await jupyterapp.started; await jupyterapp.restored }")
    page.wait_for_function(
        "() => jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status"
        " === 'idle'"
    )
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
    page.get_by_text("errors None None None").last.wait_for()


@pytest.fixture(scope="module")
def page(lab, watched):
    """The notebook, run to its end in JupyterLab."""
    address, served = lab
    parts = (SETUP, EXPLORER, MICROSCOPE, SORTER, ERRORS)
    cells = [new_code_cell(part.strip()) for part in parts]
    # Without a kernel's name JupyterLab stops at a dialogue.
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, served / "instruments.ipynb")
    page = watched.page
    page.set_default_timeout(WAIT)
    try:
        run_notebook(page, f"{address}/lab/tree/instruments.ipynb?reset")
    except Exception:
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / "failed.png")
        raise
    return page


@pytest.fixture(autouse=True)
def quiet(page, watched):
    """After every test: no request left the machine, no error was logged."""
    yield
    assert watched.elsewhere == []
    assert watched.complaints == []


def cell(page, number: int):
    """The number-th cell of the notebook."""
    return page.locator(".jp-Notebook .jp-CodeCell").nth(number)


def changed(page, read, before: str) -> str:
    """What `read()` gives once it is no longer `before`."""
    for _ in range(200):
        now = read()
        if now != before:
            return now
        page.wait_for_timeout(50)
    raise AssertionError(f"nothing changed: still {before!r}")


def said(page, number: int) -> str:
    """The sentence of an instrument."""
    return cell(page, number).get_by_role("status").inner_text()


def title(page, number: int) -> str:
    """The title of the live picture."""
    return cell(page, number).locator(".gtitle").first.text_content()


def press_right(page, number: int, label: str) -> str:
    """Press → on a slider of a cell; the sentence that follows from it."""
    instrument = cell(page, number)
    before = said(page, number)
    handle = instrument.get_by_role("slider").first
    place = float(handle.get_attribute("aria-valuenow"))
    assert label in instrument.locator(".widget-label").all_inner_texts()
    handle.focus()
    page.keyboard.press("ArrowRight")
    now = changed(page, lambda: said(page, number), before)
    assert float(handle.get_attribute("aria-valuenow")) > place
    return now


def test_a_key_press_on_the_beta_slider_moves_text_picture_and_aria(page):
    explorer = cell(page, 1)
    explorer.locator(".js-plotly-plot .main-svg").first.wait_for()
    assert "At β = 1 " in said(page, 1) and "β = 1:" in title(page, 1)
    assert "At β = 1.1 " in press_right(page, 1, "β (log scale)")
    changed(page, lambda: "β = 1.1:" in title(page, 1), False)


def test_the_picture_moves_while_the_mouse_drags(page):
    """The button is still down when sentence and picture have followed."""
    explorer = cell(page, 1)
    handle = explorer.get_by_role("slider").first
    box, head, told = handle.bounding_box(), title(page, 1), said(page, 1)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    try:
        for step in range(1, 9):
            page.mouse.move(box["x"] + 6 * step, box["y"] + box["height"] / 2)
        changed(page, lambda: said(page, 1), told)
        changed(page, lambda: title(page, 1), head)
    finally:
        page.mouse.up()


def test_the_prompt_is_a_button_and_a_reset_puts_all_back(page):
    explorer = cell(page, 1)
    button = explorer.get_by_role("button", name="plot", exact=True)
    button.focus()
    page.keyboard.press("Space")
    changed(page, lambda: "“plot”" in title(page, 1), False)
    explorer.get_by_role("button", name="Reset", exact=True).click()
    changed(page, lambda: "“film”, β = 1:" in title(page, 1), False)
    assert "At β = 1 " in said(page, 1)


def test_a_key_press_on_the_microscope_shows_the_next_pair(page):
    before, told = title(page, 2), said(page, 2)
    cell(page, 2).get_by_role("button").nth(1).focus()
    page.keyboard.press("Space")
    assert "In pair 1 (plot: " in changed(page, lambda: said(page, 2), told)
    assert "Pair 1" in changed(page, lambda: title(page, 2), before)


def order(page) -> list[str]:
    """The methods in the arena's table, as they stand there now."""
    rows = cell(page, 3).locator(".wb-sort tbody tr:not([hidden]) th")
    return rows.all_inner_texts()


def head(page, name: str):
    """A head of the arena's table, and the button in it."""
    button = cell(page, 3).get_by_role("button", name=name, exact=True)
    return cell(page, 3).get_by_role("columnheader", name=name, exact=True), button


def test_the_arena_is_sorted_by_its_heads_with_the_mouse_and_with_keys(page):
    """By gold the first is best (more is better), by KL the second (less is better)."""
    before = said(page, 3)
    assert "first leads" in before and order(page) == ["first", "second", "third"]
    gold, _ = head(page, "gold")
    kl, button = head(page, "kl")
    assert gold.get_attribute("aria-sort") == "descending"
    button.click()
    now = changed(page, lambda: said(page, 3), before)
    assert "second leads" in now and order(page) == ["second", "third", "first"]
    assert kl.get_attribute("aria-sort") == "ascending"
    assert gold.get_attribute("aria-sort") is None
    button.focus()
    page.keyboard.press("Enter")  # the same column, turned round
    changed(page, lambda: kl.get_attribute("aria-sort"), "ascending")
    assert order(page) == ["first", "third", "second"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    changed(page, lambda: said(page, 3), now)
    assert gold.get_attribute("aria-sort") == "descending"
    head(page, "method")[1].click()  # sorts the table and leaves the figure
    assert order(page) == ["first", "second", "third"] and "first leads" in said(
        page, 3
    )


def test_the_arenas_rows_are_filtered_and_a_reset_sorts_as_at_first(page):
    arena = cell(page, 3)
    head(page, "kl")[1].click()
    changed(page, lambda: "second leads" in said(page, 3), False)
    field = arena.get_by_role("searchbox")
    field.focus()
    page.keyboard.type("ir")
    assert order(page) == ["third", "first"] and "2 of 3 rows" in arena.inner_text()
    field.fill("")
    arena.get_by_role("button", name="Reset", exact=True).click()
    changed(page, lambda: "first leads" in said(page, 3), False)
    changed(page, lambda: order(page)[0] == "first", False)


def places(page, number: int):
    """Where the first slider and the picture of an instrument lie, in pixels."""
    instrument = cell(page, number)
    slider = instrument.get_by_role("slider").first.bounding_box()
    return slider, instrument.locator(".js-plotly-plot").first.bounding_box()


def test_controls_stand_beside_the_picture_or_close_above_it(page):
    slider, picture = places(page, 1)
    assert 0 < picture["y"] - slider["y"] < 120
    size = page.viewport_size
    page.set_viewport_size(size | {"width": 1800})
    try:
        changed(page, lambda: places(page, 1)[1]["x"] > slider["x"] + 100, False)
        slider, picture = places(page, 1)
        assert picture["y"] <= slider["y"] <= picture["y"] + picture["height"]
    finally:
        page.set_viewport_size(size)


def test_in_a_narrow_window_the_picture_scrolls_and_nothing_is_cut(page):
    size = page.viewport_size
    page.set_viewport_size(size | {"width": 800})
    try:
        page.wait_for_timeout(500)
        picture = cell(page, 1).locator(".js-plotly-plot").first
        wide, seen = picture.evaluate(
            "p => { let b = p; while (b && getComputedStyle(b).overflowX !== 'auto')"
            " b = b.parentElement; return [b.scrollWidth, b.clientWidth] }"
        )
        assert seen < wide  # there is something to scroll to
        assert wide >= picture.evaluate("p => p.scrollWidth")
    finally:
        page.set_viewport_size(size)


def test_what_the_page_asks_for_is_recorded_and_a_picture_is_kept(page, watched):
    assert any("/api/kernels" in url for url in watched.requests)
    assert cell(page, 1).get_by_role("alert").count() == 0
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "instruments.png")
