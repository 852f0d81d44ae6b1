"""`workbench lab`: working copies of the lessons, and the server that opens them."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import nbformat
import psutil
import pytest
import typer
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)
from typer.testing import CliRunner

from tests.local import lab_running
from workbench.cli import lab as command_line
from workbench.core.claimed import claimed
from workbench.core.errors import BadRun
from workbench.core.progress import MARK
from workbench.runner import build, workspace
from workbench.runner import lab_server as lab

ROOT = Path(__file__).resolve().parents[2]
APP = typer.Typer()
APP.command(context_settings=command_line.SETTINGS)(command_line.lab)
NAMES = ("00_start_here", "20_dpo", "22a_bco", "80_arena")


def lesson(text: str = "first", **metadata):
    """A lesson with prose, a cell, and the cell's published output."""
    printed = new_output("stream", name="stdout", text=["a line\n", "another\n"])
    code = new_code_cell("x = 1\nx", outputs=[printed], execution_count=1, id="b")
    cells = [new_markdown_cell(f"# A lesson\n{text}", id="a"), code]
    return new_notebook(cells=cells, metadata=metadata)


@pytest.fixture
def clone(tmp_path):
    """A clone with four lessons, all of them committed."""
    root = tmp_path / "clone"
    (root / "notebooks" / "src").mkdir(parents=True)
    shutil.copy(ROOT / ".gitignore", root)
    for name in NAMES:
        (root / "notebooks" / "src" / f"{name}.py").write_text("# %%\n")
        build.write(lesson(name), published(root, name))
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "lessons")
    return root


def git(root: Path, *arguments: str) -> str:
    """What git says about a clone."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout


def published(root: Path, name: str) -> Path:
    return root / "notebooks" / f"{name}.ipynb"


def copy(root: Path, name: str) -> Path:
    return root / "work" / f"{name}.ipynb"


def edit(path: Path, change) -> None:
    """Change a notebook's file as JupyterLab saves it."""
    notebook = build.load(path)
    change(notebook)
    path.write_text(nbformat.writes(notebook, indent=1))


# ---- working copies ---------------------------------------------------------------


def test_every_lesson_is_copied_with_its_outputs_and_git_sees_none_of_it(clone):
    space = workspace.renew(clone)
    assert space.ready == NAMES and space.told == ()
    for name in NAMES:
        assert copy(clone, name).read_bytes() == published(clone, name).read_bytes()
    copy(clone, "20_dpo").write_text("what a reader saved")
    assert git(clone, "status", "--porcelain") == ""
    visible = {p.name for p in space.folder.iterdir() if not p.name.startswith(".")}
    assert visible == {f"{name}.ipynb" for name in NAMES}


def test_the_glossary_lies_where_the_links_of_the_copies_lead(clone):
    """`../GLOSSARY.md` of a lesson at the server's root is `/GLOSSARY.md`."""
    glossary, mine = clone / "GLOSSARY.md", clone / "work" / "GLOSSARY.md"
    workspace.renew(clone)
    assert not mine.exists()
    for text in ("nat: a unit", "nat: the unit of KL"):
        glossary.write_text(text)
        assert workspace.renew(clone).told == ()
        assert mine.read_text() == text
    mine.write_text("my own words")
    glossary.write_text("nat: log of e")
    assert workspace.renew(clone).told == ()
    assert mine.read_text() == "my own words"


LESSON_CHANGES = {
    "prose": lambda nb: nb.cells[0].update(source="# Another"),
    "code": lambda nb: nb.cells[1].update(source="x = 2"),
    "output": lambda nb: nb.cells[1].update(outputs=[]),
    "a cell more": lambda nb: nb.cells.append(new_code_cell("y = 1", id="c")),
    "a cell less": lambda nb: nb.cells.pop(),
    "a folded cell": lambda nb: nb.cells[1].metadata.update(collapsed=True),
    "a stamp": lambda nb: nb.metadata.update(workbench={"stamp": "1"}),
}


@pytest.mark.parametrize("change", LESSON_CHANGES.values(), ids=LESSON_CHANGES)
def test_a_copy_that_nobody_changed_is_renewed_silently(clone, change):
    workspace.renew(clone)
    edit(published(clone, "20_dpo"), change)
    assert workspace.renew(clone).told == ()
    now, new = copy(clone, "20_dpo"), published(clone, "20_dpo")
    assert now.read_bytes() == new.read_bytes()
    assert workspace.renew(clone).told == ()


def jupyterlab_saves(notebook) -> None:
    """What JupyterLab writes of its own accord when a notebook was only opened."""
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.0"}
    notebook.cells[1].execution_count = None
    notebook.cells[1].metadata["execution"] = {"iopub.status.busy": "now"}


def test_a_copy_that_was_only_saved_again_counts_as_unchanged(clone):
    workspace.renew(clone)
    edit(copy(clone, "20_dpo"), jupyterlab_saves)
    saved = copy(clone, "20_dpo").read_bytes()
    assert workspace.renew(clone).told == ()
    assert copy(clone, "20_dpo").read_bytes() == saved
    edit(published(clone, "20_dpo"), LESSON_CHANGES["prose"])
    assert workspace.renew(clone).told == ()
    assert build.load(copy(clone, "20_dpo")).cells[0].source == "# Another"


def add_attachment(notebook) -> None:
    notebook.cells[0]["attachments"] = {"a.png": {"image/png": "aaaa"}}


READER_CHANGES = {
    "prose": lambda nb: nb.cells[0].update(source="my note"),
    "code": lambda nb: nb.cells[1].update(source="x = 3"),
    "a run": lambda nb: nb.cells[1].outputs.append(
        new_output("stream", name="stdout", text="mine")
    ),
    "cleared outputs": lambda nb: nb.cells[1].update(outputs=[]),
    "a cell more": lambda nb: nb.cells.append(new_code_cell("mine", id="m")),
    "a cell less": lambda nb: nb.cells.pop(0),
    "another order": lambda nb: nb.cells.reverse(),
    "a tag": lambda nb: nb.cells[1].metadata.update(tags=["mine"]),
    "an attachment": add_attachment,
}


@pytest.mark.parametrize("change", READER_CHANGES.values(), ids=READER_CHANGES)
def test_a_copy_that_the_reader_changed_is_left_alone_and_a_line_says_so(clone, change):
    workspace.renew(clone)
    edit(copy(clone, "20_dpo"), change)
    mine = copy(clone, "20_dpo").read_bytes()
    assert workspace.renew(clone).told == ()  # there is no newer lesson
    edit(published(clone, "20_dpo"), lambda nb: nb.cells[0].update(source="# New"))
    edit(published(clone, "80_arena"), lambda nb: nb.cells[0].update(source="# New"))
    space = workspace.renew(clone)
    assert copy(clone, "20_dpo").read_bytes() == mine
    assert len(space.told) == 1 and "\n" not in space.told[0]
    assert "work/20_dpo.ipynb" in space.told[0]
    assert "newer lesson" in space.told[0]
    assert "`workbench lab --fresh 20`" in space.told[0]
    assert build.load(copy(clone, "80_arena")).cells[0].source == "# New"
    assert space.ready == NAMES
    assert workspace.renew(clone).told == space.told


@pytest.mark.parametrize("newer", [True, False])
def test_fresh_renews_a_changed_copy_and_keeps_the_old_one(clone, newer):
    workspace.renew(clone)
    edit(copy(clone, "20_dpo"), READER_CHANGES["code"])
    edit(copy(clone, "80_arena"), READER_CHANGES["code"])
    mine = copy(clone, "20_dpo").read_bytes()
    if newer:
        edit(published(clone, "20_dpo"), LESSON_CHANGES["prose"])
    space = workspace.renew(clone, fresh=["20_dpo"])
    now, new = copy(clone, "20_dpo"), published(clone, "20_dpo")
    assert now.read_bytes() == new.read_bytes()
    (kept,) = space.folder.glob("20_dpo (before *).ipynb")
    assert kept.read_bytes() == mine and any(kept.name in line for line in space.told)
    assert build.load(copy(clone, "80_arena")).cells[1].source == "x = 3"


def test_no_older_copy_is_ever_overwritten(clone, monkeypatch):
    monkeypatch.setattr(workspace.time, "strftime", lambda form: "2026-01-02 03.04.05")
    workspace.renew(clone)
    for number in range(4):
        change = {"source": f"mine {number}"}
        edit(copy(clone, "20_dpo"), lambda nb, new=change: nb.cells[1].update(new))
        workspace.renew(clone, fresh=["20_dpo"])
    kept = list((clone / "work").glob("20_dpo (before *).ipynb"))
    sources = {build.load(path).cells[1].source for path in kept}
    assert sources == {f"mine {number}" for number in range(4)}


def test_fresh_leaves_nothing_beside_a_copy_that_nobody_changed(clone):
    workspace.renew(clone)
    edit(published(clone, "20_dpo"), LESSON_CHANGES["prose"])
    assert workspace.renew(clone, fresh=NAMES).told == ()
    assert not list((clone / "work").glob("*before*"))


BROKEN = {
    "conflict": b'{\n<<<<<<< HEAD\n "cells": [],\n=======\n "cells": 1\n>>>>>>> b\n}',
    "empty": b"",
    "blank": b" \n\n",
    "cut": b'{"cells": [{"cell_type": "code", "sour',
    "binary": b"\x89PNG\r\n\x1a\n\x00\xff",
    "deep": b"[" * 100_000,
    "a list": b"[]",
    "a number": b"1",
    "old": b'{"nbformat": 3, "worksheets": []}',
    "old with cells": b'{"nbformat": 3, "cells": []}',
    "no cells": b'{"nbformat": 4, "cells": 1}',
    "odd cell": b'{"nbformat": 4, "cells": ["a"]}',
    "no source": b'{"nbformat": 4, "cells": [{"cell_type": "code"}]}',
    "odd outputs": b'{"nbformat": 4, "cells": [{"source": "", "outputs": 1}]}',
    "odd output": b'{"nbformat": 4, "cells": [{"source": "", "outputs": [1]}]}',
    "odd metadata": b'{"nbformat": 4, "cells": [{"source": "", "metadata": 1}]}',
}


@pytest.mark.parametrize("first", [True, False], ids=["new clone", "old clone"])
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_lesson_is_named_in_one_line_and_blocks_no_other(clone, data, first):
    if not first:
        workspace.renew(clone)
    published(clone, "20_dpo").write_bytes(data)
    edit(published(clone, "80_arena"), LESSON_CHANGES["prose"])
    space = workspace.renew(clone, fresh=["20_dpo"])
    (line,) = space.told
    assert "notebooks/20_dpo.ipynb" in line and "\n" not in line
    assert copy(clone, "20_dpo").exists() != first
    assert ("20_dpo" in space.ready) != first
    assert build.load(copy(clone, "80_arena")).cells[0].source == "# Another"


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_copy_is_named_in_one_line_and_fresh_keeps_it(clone, data):
    workspace.renew(clone)
    copy(clone, "20_dpo").write_bytes(data)
    space = workspace.renew(clone)
    (line,) = space.told
    assert "work/20_dpo.ipynb" in line and "--fresh 20" in line and "\n" not in line
    assert space.ready == tuple(name for name in NAMES if name != "20_dpo")
    assert copy(clone, "20_dpo").read_bytes() == data
    space = workspace.renew(clone, fresh=["20_dpo"])
    (kept,) = space.folder.glob("20_dpo (before *).ipynb")
    assert kept.read_bytes() == data and space.ready == NAMES


def test_a_folder_in_a_copys_place_is_named_and_moved_by_fresh(clone):
    copy(clone, "20_dpo").mkdir(parents=True)
    (copy(clone, "20_dpo") / "mine").write_text("mine")
    assert "work/20_dpo.ipynb" in workspace.renew(clone).told[0]
    space = workspace.renew(clone, fresh=["20_dpo"])
    (kept,) = space.folder.glob("20_dpo (before *).ipynb")
    assert (kept / "mine").read_text() == "mine" and space.ready == NAMES


RECORDS = (None, b"", b"{", b"[]", b"1", b'{"20_dpo": 1}', b'{"20_dpo": {"copy": 1}}')


@pytest.mark.parametrize("record", RECORDS)
def test_without_a_readable_record_nothing_of_the_readers_is_lost(clone, record):
    workspace.renew(clone)
    edit(copy(clone, "20_dpo"), READER_CHANGES["code"])
    mine = copy(clone, "20_dpo").read_bytes()
    kept = clone / "work" / workspace.RECORD
    kept.unlink() if record is None else kept.write_bytes(record)
    (line,) = workspace.renew(clone).told
    assert "work/20_dpo.ipynb differs" in line and "--fresh 20" in line
    assert copy(clone, "20_dpo").read_bytes() == mine
    edit(published(clone, "80_arena"), LESSON_CHANGES["prose"])
    workspace.renew(clone)
    assert build.load(copy(clone, "80_arena")).cells[0].source == "# Another"


def test_a_copy_is_written_whole_or_not_at_all(clone, monkeypatch):
    workspace.renew(clone)
    before = copy(clone, "20_dpo").read_bytes()
    edit(published(clone, "20_dpo"), LESSON_CHANGES["prose"])

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            workspace.renew(clone)
    assert copy(clone, "20_dpo").read_bytes() == before
    assert not [p for p in (clone / "work").iterdir() if "partial" in p.name]
    assert workspace.renew(clone).told == ()
    assert build.load(copy(clone, "20_dpo")).cells[0].source == "# Another"


def test_two_processes_do_not_renew_at_once(clone):
    with claimed(clone / "work"), pytest.raises(BadRun, match="in use"):
        workspace.renew(clone)
    assert workspace.renew(clone).ready == NAMES


# ---- the command ------------------------------------------------------------------


@pytest.fixture
def started(clone, monkeypatch):
    """Calls the command and returns its output and what it would have become."""
    monkeypatch.chdir(clone)

    def call(*arguments: str):
        become = []
        monkeypatch.setattr(os, "execve", lambda *how: become.append(how))
        done = CliRunner().invoke(APP, arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit)
        _, command, env = become[0] if become else (None, [], {})
        return done, command, env

    return call


def page(command: list[str]) -> list[str]:
    return [a.split("=")[1] for a in command if a.startswith("--LabApp.default_url=")]


@pytest.mark.parametrize(
    ("arguments", "opened"),
    [
        ((), "00_start_here"),
        (("20",), "20_dpo"),
        (("20_dpo",), "20_dpo"),
        (("80", "20"), "80_arena"),
        (("notebooks/20_dpo.ipynb",), "20_dpo"),
        (("--fresh", "20"), "00_start_here"),
        (("--fresh", "20", "80"), "80_arena"),
    ],
)
def test_the_named_lesson_is_opened_first_and_otherwise_the_first(
    started, clone, arguments, opened
):
    done, command, _ = started(*arguments)
    assert done.exit_code == 0
    assert page(command) == [f"/lab/tree/{opened}.ipynb"]
    assert f"--ServerApp.root_dir={clone / 'work'}" in command
    assert command[1:3] == ["-m", "jupyterlab"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "9999", "--no-browser"),
        ("--", "--port", "9999", "--no-browser"),
        ("20", "--port", "9999", "--no-browser"),
        ("20", "--", "--port", "9999", "--no-browser"),
        ("20", "--port", "9999", "--fresh", "20", "--no-browser"),
    ],
)
def test_what_follows_the_lessons_is_given_to_jupyter(started, arguments):
    done, command, _ = started(*arguments)
    assert done.exit_code == 0
    assert command[-3:] == ["--port", "9999", "--no-browser"]


def test_an_option_of_jupyters_wins_over_ours(started):
    _, command, _ = started("--LabApp.default_url=/lab", "--allow-root")
    assert page(command) == ["/lab"]
    assert command.count("--allow-root") == 1


@pytest.mark.parametrize(("uid", "root"), [(0, True), (1000, False)])
def test_root_is_let_in_and_told_so(started, monkeypatch, uid, root):
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    done, command, _ = started()
    assert ("--allow-root" in command) == root
    assert sum("root" in line for line in done.output.splitlines()) == root


@pytest.mark.parametrize("given", [None, "7"])
@pytest.mark.parametrize(
    ("name", "default"), [("OMP_NUM_THREADS", "1"), ("TRANSFORMERS_VERBOSITY", "error")]
)
def test_kernels_get_a_calm_environment_unless_another_is_set(
    started, monkeypatch, name, default, given
):
    monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv(name, given)
    assert started()[2][name] == (given or default)


def test_the_users_own_search_path_comes_before_ours(started, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "theirs")
    assert started()[2]["JUPYTER_CONFIG_PATH"].split(os.pathsep) == [
        "theirs",
        str(lab.CONFIG),
    ]


@pytest.mark.parametrize("arguments", [("nosuch",), ("--fresh", "nosuch"), ("99",)])
def test_an_unknown_lesson_is_refused_before_anything_is_copied(
    started, clone, arguments
):
    done, command, _ = started(*arguments)
    assert done.exit_code == 1 and command == []
    assert arguments[-1] in done.output and "Traceback" not in done.output
    assert not (clone / "work").exists()


def test_fresh_all_renews_every_copy(started, clone):
    started()
    for name in NAMES:
        edit(copy(clone, name), READER_CHANGES["code"])
    done, _, _ = started("--fresh", "all")
    kept = list((clone / "work").glob("*before*"))
    assert len(kept) == len(NAMES) and len(done.output.splitlines()) >= len(NAMES)
    for name in NAMES:
        assert copy(clone, name).read_bytes() == published(clone, name).read_bytes()


def test_a_lesson_that_cannot_be_opened_leaves_the_others_open(started, clone):
    published(clone, "20_dpo").write_bytes(b"")
    done, command, _ = started("20")
    assert done.exit_code == 0 and page(command) == ["/lab"]
    assert "20_dpo" in done.output


def test_a_file_in_the_folders_place_is_named(started, clone):
    (clone / "work").write_text("mine")
    done, command, _ = started()
    assert done.exit_code == 1 and command == []
    assert "work" in done.output and (clone / "work").read_text() == "mine"


@pytest.mark.parametrize(
    "model",
    [
        {"type": "directory", "content": []},
        {"type": "file", "content": "text"},
        {"type": "notebook", "content": None},
        {"type": "notebook", "content": {}},
        {"type": "notebook", "content": {"cells": [{"cell_type": "markdown"}]}},
    ],
)
def test_what_holds_no_bar_is_saved_as_it_is(model):
    before = json.dumps(model)
    lab.without_bars(model, path="a", contents_manager=None)
    assert json.dumps(model) == before


# ---- the server -------------------------------------------------------------------

THEIRS = """
def hook(model, **_):
    if model["type"] == "notebook":
        model["content"]["metadata"]["theirs"] = True

c.FileContentsManager.pre_save_hook = hook
"""


@pytest.fixture
def server(clone, tmp_path):
    """`workbench lab 20`, beside settings of the user's own."""
    home = tmp_path / "home"
    (home / "config").mkdir(parents=True)
    (home / "config" / "jupyter_server_config.py").write_text(THEIRS)
    with lab_running(clone, home, "20", token="only-for-this-test") as started:
        yield started


def test_the_server_strips_bars_and_honours_the_users_own_settings(
    server, clone, tmp_path
):
    log = server.log.read_text()
    assert f"http://localhost:{server.port}/lab/tree/20_dpo.ipynb" in log
    listed = server.ask("GET", "contents")["content"]
    assert sorted(one["name"] for one in listed) == [f"{name}.ipynb" for name in NAMES]
    bar = new_output("display_data", {"text/plain": "3/9"}, metadata=MARK)
    gone = new_output("display_data", {}, metadata=MARK)
    text = new_output("stream", name="stdout", text="kept\n")
    notebook = lesson()
    notebook.cells[1].outputs = [bar, text, gone]
    server.ask(
        "PUT", "contents/20_dpo.ipynb", {"type": "notebook", "content": notebook}
    )
    saved = build.load(copy(clone, "20_dpo"))
    assert [output.get("text") for output in saved.cells[1].outputs] == ["kept\n"]
    assert saved.metadata["theirs"] is True
    assert git(clone, "status", "--porcelain") == ""
    config = tmp_path / "home" / "config"
    files = [path for path in config.rglob("*") if path.suffix]
    assert files == [config / "jupyter_server_config.py"]
    assert files[0].read_text() == THEIRS


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_server_ends_with_its_kernels(server, name):
    server.ask("POST", "kernels", {"name": "python3"})
    kernels = server.kernels()
    assert kernels
    server.process.send_signal(getattr(signal, name))
    server.process.wait(timeout=120)
    gone, alive = psutil.wait_procs(kernels, timeout=60)
    assert alive == []
