"""What the tests of the arena share: a small problem, and files of guests."""

import pytest

from workbench import experiment


@pytest.fixture(autouse=True)
def no_bar(monkeypatch):
    """No progress bar of a loop."""
    monkeypatch.setenv("WORKBENCH_PROGRESS", "0")


@pytest.fixture
def written(tmp_path):
    """Write a guest's file."""

    def write(text: str | bytes, name: str = "mine.py"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture(scope="session")
def problem():
    """Two seeds of few pairs, in a world of short answers."""
    return experiment.of_reviews([3, 4], n_pairs=40, max_words=2, held_out_pairs=20)
