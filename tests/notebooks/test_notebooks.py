"""Every notebook runs at the ci profile, and the runner finds nothing wrong with it."""

import os
from pathlib import Path

import pytest

from workbench.runner import report, series, speed

ROOT = Path(__file__).parents[2]
SOURCES = series.sources(ROOT)


def test_there_are_notebooks():
    assert SOURCES, "notebooks/src holds no numbered source"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_runs_at_ci(source):
    settings = series.Settings(
        root=ROOT,
        profile="ci",
        speed=speed.measure(),
        enforce=os.environ.get("CI") == "true",
    )
    result = series.run_one(source, settings)
    assert result.passed, report.failure_text(result)
