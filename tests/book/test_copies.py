"""Which copy of a lesson the book shows; nothing of this machine; broken files.

Held against what Sphinx reads: a chapter's outputs are clean before that.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat.v4 as v4
import pytest

from tests.book.made import CLAIM, Project, claim, display, put
from workbench.book import binding, chapters
from workbench.runner import build, publish

MACHINE = [
    "/" + "home/somebody/hidden-place/x.py",
    "/" + "root/hidden-place/x.py",
    "/" + "tmp/wb-abc/hidden-place/x.py",
    str(Path.home() / "hidden-place" / "x.py"),
    str(Path(sys.prefix) / "lib" / "hidden-place" / "x.py"),
    str(Path(os.__file__).parent / "hidden-place" / "x.py"),
    str(Path(tempfile.gettempdir()) / "hidden-place" / "x.py"),
]
PATHS = re.compile(r"(?<![\w.])/" + r"(?:root|home/\w+|Users/\w+|tmp|work)/[\w.]")
NO_NOTEBOOK = [
    "{}", "[]", "", "null", '"text"', "{", "<<<<<<< HEAD\n{}\n=======\n",
    '{"cells": 5, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    '{"cells": [5], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    '{"cells": [], "metadata": {"workbench": [1]}, "nbformat": 4, "nbformat_minor": 5}',
    '{"cells": [{"cell_type": "code"}], "metadata": {}, "nbformat": 4}',
    '{"nbformat": 99, "nbformat_minor": 0, "cells": [], "metadata": {}}',
    "[" * 100_000, "\ud800".encode("utf-16", "surrogatepass"),
]  # fmt: skip
NO_RECORD = [
    "{}", "[]", "", "null", "5", '"text"', "{", '{"failures": 5}',
    '{"failures": null}', '{"failures": {"a": 1}}', "[" * 100_000, b"\xff\xfe\x00",
]  # fmt: skip


class Read:
    """What Sphinx would read of a project."""

    def __init__(self, project: Project):
        folder = project.root / "work"
        self.chapters = binding.prepare(project.settings, folder, {}, {})
        self.folder = folder / "source"

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def chapter(self, name: str = "01_a") -> str:
        return self.text(f"{name}.ipynb")

    def everything(self) -> str:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return "\n".join(path.read_text(encoding="utf-8") for path in files)


@pytest.fixture
def one(tmp_path) -> Project:
    """A clone with one published lesson, of which nothing was executed."""
    made = Project(tmp_path, "01_a")
    made.commit("01_a")
    return made


def plain(markdown: str) -> str:
    """Markdown without the backslashes that keep its signs from acting."""
    return markdown.replace("\\", "")


def shows_the_published_copy(project: Project, why: str, name: str = "01_a") -> None:
    read = Read(project)
    text = plain(read.chapter(name))
    assert "COMMITTED" in text
    assert "EXECUTED" not in text
    assert f"This is the published copy: {why}" in text
    assert "Traceback" not in read.everything()
    assert "secret" not in read.everything()


def test_every_lesson_has_a_chapter_before_anything_is_executed(one):
    shows_the_published_copy(one, "not executed here yet.")
    assert "01_a" in Read(one).text("index.md")


def test_the_copy_executed_here_is_shown_once_it_has_passed(one):
    Read(one)
    one.passed("01_a")
    read = Read(one)
    assert "EXECUTED" in read.chapter()
    assert "COMMITTED" not in read.chapter()
    assert "published copy:" not in read.chapter()
    assert "1 of 1 executed" in read.text("index.md")


@pytest.mark.parametrize(
    ("path", "kind"),
    [(path, kind) for path in MACHINE[:4] for kind in ("error", "stuck")]
    + [(path, "missed claim") for path in MACHINE[4:]],
)
def test_a_failure_is_named_by_its_kind_only(one, kind, path):
    one.passed("01_a")
    failure = {"kind": kind, "message": f"secret {path}", "cell": 1, "detail": path}
    put(one.record("01_a"), json.dumps({"failures": [failure], "seconds": 1.0}))
    shows_the_published_copy(one, f"the execution here failed ({kind}).")
    assert "hidden-place" not in Read(one).everything()


@pytest.mark.parametrize(
    "failure",
    [5, None, [], {}, {"kind": 5}, {"kind": f"secret {MACHINE[0]}"}, {"message": "x"}],
)
def test_a_failure_of_no_known_kind_gives_nothing_away(one, failure):
    one.passed("01_a")
    put(one.record("01_a"), json.dumps({"failures": [failure]}))
    shows_the_published_copy(one, "the execution here failed (for an unknown reason).")


def test_a_killed_notebook_does_not_hide_the_published_copy(one):
    one.passed("01_a")
    one.record("01_a").unlink()
    shows_the_published_copy(one, "not executed to its end here yet.")


def test_an_incomplete_copy_does_not_hide_the_published_one(one):
    one.passed("01_a")
    half = build.load(one.executed("01_a"))
    half.cells[-1].execution_count = None
    build.write(half, one.executed("01_a"))
    shows_the_published_copy(one, "the copy executed here is incomplete.")


def test_a_copy_of_other_code_does_not_pass_for_this_lesson(one):
    one.passed("01_a")
    text = one.source("01_a").read_text()
    put(one.source("01_a"), text.replace("range(4)", "range(5)"))
    why = "its code has changed since it was executed here; its code differs"
    shows_the_published_copy(one, why)


@pytest.mark.parametrize("content", NO_NOTEBOOK)
def test_a_broken_executed_copy_gives_way_to_the_published_one(one, content):
    one.passed("01_a")
    put(one.executed("01_a"), content)
    shows_the_published_copy(one, "the copy executed here ")


@pytest.mark.parametrize("content", NO_RECORD)
def test_a_broken_record_counts_as_none(one, content):
    one.passed("01_a")
    put(one.record("01_a"), content)
    shows_the_published_copy(one, "the record of its execution here cannot be read.")


@pytest.mark.parametrize("seconds", ["1", "x", [], None, "1e999", 10**400, "NaN"])
def test_seconds_of_any_form_are_borne(one, seconds):
    one.passed("01_a")
    put(one.record("01_a"), json.dumps({"failures": [], "seconds": seconds}))
    assert "EXECUTED" in Read(one).chapter()


@pytest.mark.parametrize("content", [*NO_NOTEBOOK, None])
def test_without_any_outputs_the_chapter_says_so(one, content):
    one.committed("01_a").unlink()
    if content is not None:
        put(one.committed("01_a"), content)
    text = plain(Read(one).chapter())
    assert "There are no outputs to show: not executed here yet" in text
    assert "the published copy" in text
    one.passed("01_a")
    assert "EXECUTED" in Read(one).chapter()


@pytest.mark.parametrize("text", ["", "x = (", "# %%\n1\n", "# ---\n# a: [\n# ---\n"])
def test_a_broken_source_costs_neither_its_copies_nor_other_lessons(tmp_path, text):
    made = Project(tmp_path, "01_a", "02_b")
    made.commit("01_a")
    made.passed("02_b")
    put(made.source("01_a"), text)
    shows_the_published_copy(made, "")
    assert "EXECUTED" in Read(made).chapter("02_b")


def test_a_copy_that_cannot_be_prepared_gives_way_to_the_next(one, monkeypatch):
    one.passed("01_a")
    clean = chapters.clean

    def fragile(notebook, root):
        assert "EXECUTED" not in json.dumps(notebook)
        return clean(notebook, root)

    monkeypatch.setattr(chapters, "clean", fragile)
    shows_the_published_copy(one, "the copy executed here cannot be shown.")


def test_a_lesson_that_cannot_be_prepared_at_all_is_named(one, monkeypatch):
    def broken(notebook, root):
        raise ValueError("no")

    monkeypatch.setattr(chapters, "clean", broken)
    read = Read(one)
    assert not (read.folder / "01_a.ipynb").exists()
    assert "Nothing can be shown of Lesson 01_a" in plain(read.text("index.md"))


# ---- nothing of this machine --------------------------------------------------------


@pytest.mark.parametrize("path", MACHINE)
def test_no_page_names_a_folder_of_this_machine(tmp_path, path):
    made = Project(tmp_path, "01_a")
    places = [path, str(tmp_path / "hidden-place" / "x.py")]
    put(made.source("01_a"), made.source("01_a").read_text() + f"\n# at {path}\n")
    every = [
        display({mime: f"<p>{place}</p>"})
        for mime in ("text/html", "text/markdown", "text/latex", "text/plain")
        for place in places
    ]
    every += [
        v4.new_output("error", ename="E", evalue=path, traceback=[f"\x1b[1m{path}"]),
        v4.new_output("stream", name="stdout", text=f"at {path}:1"),
        claim("k", statement=" ".join(places), paper=path, mean=path),
    ]
    made.passed("01_a", *every)
    read = Read(made)
    assert "x.py" in plain(read.text("claims.md"))
    assert read.chapter().count("x.py") >= 9
    text = read.everything()
    assert str(tmp_path) not in text
    assert not PATHS.search(plain(text))
    assert f"{path[:-5]}" not in plain(text)


# ---- claims of any form -------------------------------------------------------------


@pytest.mark.parametrize("key", ["mean", "low", "high"])
@pytest.mark.parametrize(
    "value", ["about 3", "", None, [], [1], {}, {"a": 1}, True, "nan", 10**400, "<b>"]
)
def test_a_claim_whose_number_is_none_costs_no_page(one, key, value):
    one.passed("01_a", claim("k", **{key: value}))
    text = Read(one).text("claims.md")
    assert "the statement of k" in text
    assert "3 seeds" in text
    assert "<b>" not in text


@pytest.mark.parametrize(
    "value", [[], ["a"], "text", 5, None, {}, {"key": []}, {"key": {"a": []}}]
)
def test_a_claim_of_any_form_is_borne(one, value):
    one.passed("01_a", display({CLAIM: value}), claim("k"))
    read = Read(one)
    assert "the statement of k" in read.text("claims.md")
    assert "EXECUTED" in read.chapter()


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"", b"key\0\n", b"key\n" + b"a,b,c\n"]
)
def test_a_broken_table_of_claims_costs_no_page(tmp_path, content):
    made = Project(tmp_path, "01_a")
    put(tmp_path / "data" / "results" / "01_a" / "claims.csv", content)
    assert "Lesson 01_a" in plain(Read(made).text("index.md"))


def test_claims_of_a_lesson_without_outputs_come_from_their_table(tmp_path):
    made = Project(tmp_path, "01_a")
    table = "key,statement,mean,low,high\nk,a statement,x,y,z\n"
    put(tmp_path / "data" / "results" / "01_a" / "claims.csv", table)
    assert "a statement" in Read(made).text("claims.md")


def test_of_two_claims_with_one_key_the_last_is_listed_and_the_first_has_the_id(one):
    one.passed("01_a", claim("k", statement="early"), claim("k", statement="late"))
    read = Read(one)
    assert "late" in read.text("claims.md") and "early" not in read.text("claims.md")
    assert read.chapter().count('id=\\"claim-k\\"') == 1


# ---- states of instruments ----------------------------------------------------------


@pytest.mark.parametrize(
    "states",
    [5, [], {}, {"file": "../../secret.json"}, {"file": 3},
     {"file": "instrument-1.json"}, {"base": {"data": []}, "exact": {"rule": 5}},
     {"base": {}, "controls": [], "states": {}},
     {"base": {"data": []}, "states": {}, "controls": [{"label": "x", "values": ["a"],
                                                        "start": 4}]}],
)  # fmt: skip
def test_states_of_any_form_are_borne(one, states):
    mime = publish.STATES
    words = "Run this notebook"
    one.passed("01_a", display({mime: states, "text/html": words, "text/plain": words}))
    assert words in Read(one).chapter()


def test_the_same_sources_are_written_once(one):
    read = Read(one)
    before = {p: p.stat().st_mtime_ns for p in read.folder.rglob("*")}
    Read(one)
    assert {p: p.stat().st_mtime_ns for p in read.folder.rglob("*")} == before
    one.passed("01_a")
    Read(one)
    after = {p: p.stat().st_mtime_ns for p in read.folder.rglob("*")}
    changed = {p.name for p in after if p.is_file() and after[p] != before[p]}
    assert changed == {"01_a.ipynb", "index.md"}
