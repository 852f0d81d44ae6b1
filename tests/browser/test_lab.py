"""What a reader finds who types `workbench lab`, in a real JupyterLab."""

import json
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from workbench.core.progress import is_bar

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
WAIT = 60_000  # ms

# The bar stays until the file `go` is there, so that no speed matters.
BAR = """
import time
from pathlib import Path
from workbench.core import progress

print("before")
with progress.bar(9, initial=3) as bar:
    while not Path("go").exists():
        time.sleep(0.1)
        bar.update(0)
print("after")
"""
TRAINING = """
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.core.seeds import generator
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.models import tiny
from workbench.worlds.reviews import Reviews

world = Reviews(2)
ref = tiny.reference(world)
pairs = sample_pairs(world, ref.response_logps(world), 64, Annotator(), generator(0))
for seed in range(3):
    offline.fit(ref.copies(1), ref, pairs, dpo, dpo.Config(), steps=20, batch_size=8)
"""
FAILING = """
with progress.bar(9):
    raise ValueError("in the middle")
"""


@pytest.fixture(scope="module")
def page(lab, watched):
    """The page that the address leads to."""
    address, _ = lab
    page = watched.page
    page.set_default_timeout(WAIT)
    page.set_viewport_size({"width": 1300, "height": 900})
    page.goto(address)
    ready(page)
    return page


@pytest.fixture(autouse=True)
def quiet(page, watched):
    """After every test: no request left the machine, no error was logged."""
    yield
    assert watched.elsewhere == []
    assert watched.complaints == []


def ready(page) -> None:
    """Wait until JupyterLab and the kernel of its notebook are there."""
    page.wait_for_function("() => window.jupyterapp !== undefined")
    page.evaluate("async () => { await jupyterapp.started; await jupyterapp.restored }")
    page.wait_for_function(
        "() => jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status"
        " === 'idle'"
    )


def command(page, name: str) -> None:
    """Start a command of JupyterLab without waiting for its end."""
    page.evaluate(f"() => {{ jupyterapp.commands.execute('{name}') }}")


def is_clean(served: Path) -> bool:
    """Whether git sees no change in the clone."""
    asked = ["git", "status", "--porcelain"]
    done = subprocess.run(asked, cwd=served.parent, capture_output=True, check=True)
    return done.stdout == b""


def saved(page, path: Path, holds: str) -> str:
    """The file, once JupyterLab has saved it and it holds a text."""
    command(page, "docmanager:save")
    for _ in range(600):
        text = path.read_text(encoding="utf-8")
        if holds in text:
            return text
        page.wait_for_timeout(100)
    raise AssertionError(f"{path.name} was not saved")


def test_the_first_lesson_is_open(page):
    opened = page.evaluate("() => jupyterapp.shell.currentWidget.context.path")
    assert opened == "00_start_here.ipynb"
    assert page.locator(".jp-Notebook").get_by_role("heading").count() > 0


def test_the_file_browser_lists_the_lessons_and_nothing_else(page):
    rows = page.locator(".jp-DirListing-content .jp-DirListing-itemText")
    rows.nth(len(LESSONS) - 1).wait_for()
    assert rows.all_inner_texts() == LESSONS


def test_no_lessons_name_is_cut(page):
    cut = page.evaluate(
        "() => [...document.querySelectorAll('.jp-DirListing-itemText')]"
        ".filter(e => e.scrollWidth > e.clientWidth).map(e => e.innerText)"
    )
    assert cut == []


def test_nothing_asks_for_news_or_updates(page, watched):
    assert page.locator(".Toastify__toast, .jp-Dialog").count() == 0
    asked = [
        url for url in watched.requests if "api/news" in url or "api/update" in url
    ]
    assert asked == []


def test_saving_a_lesson_leaves_the_clone_clean(page, lab):
    served = lab[1]
    page.evaluate(
        "() => jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel"
        ".setSource('written by a reader')"
    )
    saved(page, served / "00_start_here.ipynb", "written by a reader")
    assert is_clean(served)
    published = served.parent / "notebooks" / "00_start_here.ipynb"
    assert "written by a reader" not in published.read_text(encoding="utf-8")


def test_nothing_of_a_bar_is_left_in_the_page_or_in_the_saved_file(page, lab):
    address, served = lab
    cells = [new_code_cell(code.strip()) for code in (BAR, TRAINING, FAILING)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path = served / "training.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=kernel), path)
    page.goto(f"{address}/lab/tree/training.ipynb?reset")
    ready(page)
    command(page, "notebook:run-all-cells")
    page.locator(".jp-OutputArea progress").wait_for()
    assert "3/9" in page.locator(".jp-OutputArea").first.inner_text()
    during = json.loads(saved(page, path, "before"))
    assert not [
        out for cell in during["cells"] for out in cell["outputs"] if is_bar(out)
    ]
    (served / "go").touch()
    page.locator(".jp-OutputArea").get_by_text("in the middle").last.wait_for()
    assert page.locator(".jp-OutputArea progress").count() == 0
    first, second = (page.locator(".jp-CodeCell").nth(n) for n in (0, 1))
    said = first.locator(".jp-OutputArea").all_inner_texts()
    assert "".join(said).split() == ["before", "after"]
    shown = second.locator(".jp-OutputArea").all_inner_texts()
    assert "".join(shown).strip() == ""
    after = json.loads(saved(page, path, '"ename": "ValueError"'))
    kinds = [[out["output_type"] for out in cell["outputs"]] for cell in after["cells"]]
    assert kinds == [["stream", "stream"], [], ["error"]]
    assert is_clean(served)
