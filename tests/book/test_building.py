"""A book is built as a whole or not at all, and only where something has changed."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.book.made import Project, figure, put
from workbench.book import binding, hanging
from workbench.core.claimed import claimed
from workbench.core.errors import WorkbenchError


class Press:
    """Takes Sphinx's place: each source becomes a page with its text."""

    def __init__(self):
        self.calls = 0

    def __call__(self, folder: Path, key: str) -> None:
        self.calls += 1
        read, made = folder / "source", folder / "html"
        for path in (path for path in read.rglob("*") if path.is_file()):
            page = (made / path.relative_to(read)).with_suffix(".html")
            put(page, path.read_bytes())


@pytest.fixture
def press(monkeypatch) -> Press:
    found = Press()
    monkeypatch.setattr(binding, "press", found)
    return found


@pytest.fixture
def one(tmp_path) -> Project:
    made = Project(tmp_path, "01_a", "02_b")
    made.commit("01_a", *figure("a picture", "Its caption."))
    made.commit("02_b")
    return made


def build(project: Project) -> Path:
    index = binding.build_book(project.settings, methods={}, rooms={})
    assert index == project.root / "site" / "index.html"
    return index.parent


def contents(site: Path) -> dict[str, bytes]:
    found = (path for path in site.rglob("*") if path.is_file())
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in found}


def test_an_unchanged_book_is_not_rendered_again(one, press):
    site = build(one)
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*")}
    assert build(one) == site
    assert press.calls == 1
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*")} == before
    one.passed("02_b")
    build(one)
    assert press.calls == 2
    after = {path: path.stat().st_mtime_ns for path in site.rglob("*.html")}
    changed = {path.name for path in after if after[path] != before[path]}
    assert changed == {"02_b.html", "index.html"}


def test_a_lost_page_is_put_back(one, press):
    site = build(one)
    (site / "01_a.html").unlink()
    build(one)
    assert (site / "01_a.html").is_file()


def test_another_code_of_ours_renders_everything(one, press, monkeypatch):
    build(one)
    monkeypatch.setattr(binding, "_versions", lambda: "sphinx 99")
    build(one)
    assert press.calls == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no space left")])
@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_reader_never_meets_half_a_page(one, press, monkeypatch, step, error):
    site = build(one)
    before = contents(site)
    one.passed("01_a")
    done = getattr(Path, step)

    def half(path, *rest):
        if site not in path.parents or hanging.NAMES in path.name:
            return done(path, *rest)
        if step == "write_bytes":
            done(path, rest[0][:100])
        raise error

    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, OSError)):
        patch.setattr(Path, step, half)
        build(one)
    assert contents(site) == before
    build(one)
    assert b"EXECUTED" in (site / "01_a.html").read_bytes()


def test_what_a_killed_build_left_is_swept_and_no_more(one, press):
    site = one.root / "site"
    dead, alive = 2**22 + 1, os.getppid()
    swept = f".01_a.html.{dead}.partial"
    kept = [f".01_a.html.{alive}.partial", ".partial"]
    for name in (swept, *kept):
        put(site / name, "half")
    build(one)
    assert not (site / swept).exists()
    assert all((site / name).read_text() == "half" for name in kept)


def test_pages_of_lessons_that_are_gone_go_and_other_files_stay(one, press):
    site = build(one)
    assert (site / "figures/01_a-1.png").is_file()
    put(site / "mine.html", "<p>mine</p>")
    put(site / "figures/mine.png", "mine")
    one.source("01_a").unlink()
    (one.root / "build/book/lecture/html/01_a.html").unlink()  # as `press` does
    build(one)
    names = set(contents(site))
    assert {"mine.html", "figures/mine.png", "02_b.html"} <= names
    assert not any(name.startswith(("01_a", "figures/01_a")) for name in names)


@pytest.mark.parametrize("content", ["", "{", "5", '["../../outside.txt", 5]', "null"])
def test_a_list_of_files_that_cannot_be_trusted_removes_nothing(one, press, content):
    outside = one.root / "outside.txt"
    put(outside, "kept")
    site = build(one)
    put(site / "sub" / "mine.txt", "kept")
    put(site / hanging.NAMES, content)
    one.passed("01_a")
    build(one)
    assert outside.read_text() == (site / "sub" / "mine.txt").read_text() == "kept"
    assert "01_a.html" in json.loads((site / hanging.NAMES).read_text())


def test_two_builds_at_a_time_are_refused(one, press):
    with claimed(one.root / "build/book/lecture"), pytest.raises(WorkbenchError):
        build(one)
    assert build(one)


# ---- with Sphinx --------------------------------------------------------------------


def test_without_sphinx_one_sentence_says_what_to_do(one, monkeypatch):
    def missing(name):
        raise binding.PackageNotFoundError(name)

    monkeypatch.setattr(binding, "version", missing)
    with pytest.raises(binding.BookError, match="sphinx.*not installed.*make env"):
        build(one)
    assert not (one.root / "site").exists()


def test_if_sphinx_fails_the_pages_stay_and_one_sentence_says_why(one, monkeypatch):
    class Failed:
        returncode, stderr = 2, "Traceback\n\nExtension error: no theme\n\n"

    site = one.root / "site"
    put(site / "index.html", "old")
    monkeypatch.setattr(subprocess, "run", lambda *told, **how: Failed)
    with pytest.raises(binding.BookError) as caught:
        build(one)
    assert str(caught.value).endswith("as they were: Extension error: no theme")
    assert contents(site) == {"index.html": b"old"}


def test_sphinx_renders_what_changed_and_forgets_what_is_gone(one):
    put(one.root / "GLOSSARY.md", "# Glossary\n\nNo word yet.\n")
    site = build(one)
    made = one.root / "build" / "book" / "lecture" / "html"
    before = {path.name: path.stat().st_mtime_ns for path in made.glob("*.html")}
    one.passed("02_b")
    build(one)
    after = {path.name: path.stat().st_mtime_ns for path in made.glob("*.html")}
    assert b"EXECUTED" in (site / "02_b.html").read_bytes()
    assert after["02_b.html"] > before["02_b.html"]
    assert after["glossary.html"] == before["glossary.html"]
    one.source("01_a").unlink()
    build(one)
    assert not (site / "01_a.html").exists()
    assert not (made / "01_a.html").exists()
