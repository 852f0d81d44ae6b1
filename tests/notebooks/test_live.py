"""Every lesson has an instrument, and its states lie ready for a book."""

import json
from itertools import product
from pathlib import Path

import pytest

from workbench.runner import build, publish, series
from workbench.views.instruments.states import MOST

ROOT = Path(__file__).parents[2]
SOURCES = [build.read(path) for path in series.sources(ROOT)]
LESSONS = [source.name for source in SOURCES if source.kind != "study"]


def states_of(name: str) -> list[Path]:
    """The files that a committed notebook names for its instruments."""
    notebook = build.load(ROOT / "notebooks" / f"{name}.ipynb")
    found = [
        output.get("data", {}).get(publish.STATES)
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    ]
    folder = ROOT / "data" / "results" / name
    return [folder / states["file"] for states in found if states]


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_something_to_move(name):
    assert states_of(name)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_states_of_an_instrument_are_whole_and_fit_a_page(source):
    files = states_of(source.name)
    there = (ROOT / "data" / "results" / source.name).glob("instrument-*.json")
    assert sorted(files) == sorted(there)
    for file in files:
        text = file.read_bytes()
        assert len(text) <= MOST, file.name
        found = json.loads(text)
        if "exact" in found:  # the page computes its states; tests/book/test_exact.py
            assert all(len(c["numbers"]) > 1 for c in found["controls"])
            continue
        sizes = [range(len(control["values"])) for control in found["controls"]]
        places = {",".join(map(str, at)) for at in product(*sizes)}
        assert len(places) > 1 and set(found["states"]) == places
        start = ",".join(str(control["start"]) for control in found["controls"])
        assert [c["path"] for c in found["states"][start]] == [["caption"]]
