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


def press_right(page, number: int, slider: int, label: str) -> str:
    """Press → on a slider of a cell; the sentence that follows from it."""
    instrument = cell(page, number)
    status = instrument.get_by_role("status")
    said = status.inner_text()
    handle = instrument.get_by_role("slider").nth(slider)
    place = float(handle.get_attribute("aria-valuenow"))
    assert label in instrument.locator(".widget-label").all_inner_texts()
    handle.focus()
    page.keyboard.press("ArrowRight")
    now = changed(page, status.inner_text, said)
    assert float(handle.get_attribute("aria-valuenow")) > place
    return now


def test_a_key_press_on_the_beta_slider_moves_text_picture_and_aria(page):
    explorer = cell(page, 1)
    assert "At β = 1 " in explorer.get_by_role("status").inner_text()
    assert "At β = 1.12 " in press_right(page, 1, 0, "β (log scale)")
    image = explorer.locator("img[alt*='β = 1.12']")
    image.wait_for()
    assert image.evaluate("image => image.naturalWidth") > 500


def test_the_prompt_of_the_beta_explorer_moves_with_the_arrow_keys(page):
    press_right(page, 1, 1, "prompt")
    cell(page, 1).locator("img[alt*='“plot”, β = ']").wait_for()


def test_a_key_press_on_the_microscope_shows_the_next_pair(page):
    assert "In pair 1 (plot: " in press_right(page, 2, 0, "pair")
    cell(page, 2).locator("img[alt*='Pair 1']").wait_for()


def test_the_arena_is_sorted_by_another_column_with_the_arrow_keys(page):
    """first leads by gold (more is better), second by KL (less is better)."""
    arena = cell(page, 3)
    assert "first leads" in arena.get_by_role("status").inner_text()
    assert "second leads" in press_right(page, 3, 0, "sort by")
    arena.locator("img[alt*='second leads']").wait_for()


def test_the_static_figure_stands_first_and_becomes_live_under_the_pointer(page):
    explorer = cell(page, 1)
    static = explorer.locator(".jp-OutputArea-output").first
    static.locator("img").first.wait_for()
    static.hover()
    explorer.locator(".js-plotly-plot .main-svg").first.wait_for()
    assert "β = 1:" in explorer.locator(".gtitle").first.inner_html()
    microscope = cell(page, 2)
    microscope.locator(".jp-OutputArea-output").first.hover()
    microscope.locator(".js-plotly-plot .main-svg").first.wait_for()


def test_what_the_page_asks_for_is_recorded_and_a_picture_is_kept(page, watched):
    assert any("/api/kernels" in url for url in watched.requests)
    assert cell(page, 1).get_by_role("alert").count() == 0
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "instruments.png")
