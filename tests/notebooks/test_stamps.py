"""The committed notebooks are the published executions of their sources."""

import json
from pathlib import Path

import pytest

from workbench.runner import build, publish, series, stamp

ROOT = Path(__file__).parents[2]
NAMES = [path.stem for path in series.sources(ROOT)]
HOW = "run: .venv/bin/workbench run --publish"


@pytest.mark.parametrize("name", NAMES)
def test_stamp_is_that_of_the_source(name):
    published = ROOT / "notebooks" / f"{name}.ipynb"
    assert published.exists(), f"{published} is missing; {HOW}"
    source = build.read(ROOT / "notebooks" / "src" / f"{name}.py")
    reason = stamp.is_current(source.notebook, build.load(published))
    assert reason is None, f"{published}: {reason}; {HOW}"


@pytest.mark.parametrize("name", NAMES)
def test_committed_copy_is_small_and_says_nothing_of_the_run(name):
    path = ROOT / "notebooks" / f"{name}.ipynb"
    notebook = build.load(path)
    compact = json.dumps(notebook, ensure_ascii=False)
    assert len(compact.encode()) <= publish.MAX_BYTES
    assert set(notebook.metadata) == {"kernelspec", "language_info", "workbench"}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ran = [cell.execution_count for cell in code if cell.source.strip()]
    assert ran == list(range(1, len(ran) + 1)), f"not one run from the top; {HOW}"
    assert "papermill" not in path.read_text(encoding="utf-8")


def test_no_notebook_lost_its_source():
    known = {f"{name}.ipynb" for name in NAMES}
    found = {path.name for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    assert found <= known
