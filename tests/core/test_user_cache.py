"""A folder of the cache is whole or not there, whatever happened while it was made."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from workbench.core import user_cache


def write(folder: Path) -> None:
    """Two files, the second some time after the first; a note of each call."""
    (folder / "one").write_text("1")
    time.sleep(0.3)
    (folder / "two").write_text("2")
    with open(folder.parent / "calls", "a") as calls:
        calls.write(f"{os.getpid()}\n")


def _child(folder: Path) -> None:
    made = user_cache.whole(folder, write)
    (folder.parent / f"{os.getpid()}.saw").write_text(
        " ".join(sorted(os.listdir(made)))
    )


def test_of_two_processes_one_makes_it_and_both_find_it_whole(tmp_path):
    context = multiprocessing.get_context("fork")
    started = [
        context.Process(target=_child, args=(tmp_path / "made",)) for _ in range(3)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert len((tmp_path / "calls").read_text().split()) == 1
    assert [p.read_text() for p in tmp_path.glob("*.saw")] == ["one two"] * 3


def test_what_fails_half_way_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "one").write_text("1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        user_cache.whole(tmp_path / "made", fail)
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []


def test_what_a_killed_process_left_is_not_taken(tmp_path):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_child, args=(tmp_path / "made",))
    process.start()
    while not list(tmp_path.glob(".made.*/one")):
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not (tmp_path / "made").exists()
    made = user_cache.whole(tmp_path / "made", write)
    assert sorted(os.listdir(made)) == ["one", "two"]
    assert not list(tmp_path.glob(".made.partial"))


def test_the_variable_moves_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    assert user_cache.place() == tmp_path
    monkeypatch.delenv("WORKBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert "workbench" in user_cache.place().parts
