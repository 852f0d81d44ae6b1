"""Every notebook runs at the ci profile, and the runner finds nothing wrong with it."""

import os
from pathlib import Path

import pytest

from workbench.runner import report, series

ROOT = Path(__file__).parents[2]
SOURCES = series.sources(ROOT)


def test_there_are_notebooks():
    assert SOURCES, "notebooks/src holds no numbered source"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_runs_at_ci(source):
    slow = float(os.environ.get("WORKBENCH_SLOW", "1"))
    settings = series.Settings(root=ROOT, profile="ci", slow=slow)
    result = series.run_one(source, settings)
    assert result.passed, report.failure_text(result)
