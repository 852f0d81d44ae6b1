"""What the tests of the arena share: a small ground, and files of guests."""

import pytest

from workbench import arena


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
def ground():
    """Two seeds of few pairs, in a world of short answers."""
    return arena.of_reviews([3, 4], n=40, max_words=2, held=20)
