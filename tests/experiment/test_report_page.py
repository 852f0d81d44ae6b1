"""The report of a training in a real browser: live, offline, at a desk and a phone."""

import json
import shutil

import pytest

from tests.experiment.common import TINY, run
from workbench.experiment import compared_report, compared_runs

KINDS = {"dpo": 2, "bt": 1, "compared": 3}  # reports, and how many figures each has


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A training of a policy, one of a reward model, and two runs side by side."""
    root = tmp_path_factory.mktemp("reports")
    for method in ("dpo", "bt"):
        run(method, root / method, **TINY)
    both = [root / "dpo", shutil.copytree(root / "dpo", root / "twin")]
    runs, command = compared_runs.read(both), compared_report.command_of(both)
    compared_report.write(runs, command, root / "compared", again=False)
    return root


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("kind", KINDS)
def test_figures_live_and_nothing_is_loaded_or_too_wide(folders, chrome, kind, width):
    path = folders / kind / "report.html"
    assert path.stat().st_size < 5_000_000
    page = chrome.new_page(viewport={"width": width, "height": 900})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text))
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelectorAll('figure img:not([hidden])')"
                           ".length === 0")  # fmt: skip
    assert page.locator("figure .main-svg").count() >= KINDS[kind]
    assert page.locator("figure.live").count() == KINDS[kind]
    assert page.locator("figure p em").count() == KINDS[kind]
    sizes = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert sizes[0] <= sizes[1]
    assert (asked, complaints) == ([path.as_uri()], [])
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_panels_are_side_by_side_at_a_desk_and_stacked_on_a_phone(
    folders, chrome, width
):
    page = chrome.new_page(viewport={"width": width, "height": 900})
    page.goto((folders / "dpo" / "report.html").as_uri())
    page.wait_for_selector("figure:first-of-type .subplot.x2y2")
    first, second = (
        page.locator(f"figure:first-of-type .subplot.{name} .gridlayer").bounding_box()
        for name in ("xy", "x2y2")
    )
    if width == 390:
        assert first["y"] + first["height"] < second["y"]
    else:
        assert first["x"] + first["width"] < second["x"]
    page.close()


def test_the_pictures_and_their_data_lie_beside_the_report(folders):
    for name in ("implicit_rewards", "kl_drift"):
        assert (folders / "dpo" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert json.loads((folders / "dpo" / f"{name}.json").read_text())["data"]
