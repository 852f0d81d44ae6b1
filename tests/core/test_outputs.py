"""The folder a command writes into: what is ours goes on or goes, the rest stays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.core.claimed import LOCK
from workbench.core.errors import BadOption, BadRun
from workbench.core.outputs import LIST, Command, check, opened

FIRST = Command("train", {"method": "dpo", "steps": 3}, "2 runs of dpo", ("a/b/", "t"))
OTHER = Command("train", {"method": "ipo", "steps": 3}, "1 run of ipo", ("a/b/", "t"))
COMPARED = Command("compare", {"methods": 2}, "a comparison of 2 methods", ("t",))


def do(folder: Path, command: Command = FIRST, **how) -> None:
    """A command that fills a folder of its own and writes two files."""
    with opened(folder, command, **how) as out:
        out.claim("a/b/")
        (out.folder / "a/b").mkdir(parents=True, exist_ok=True)
        (out.folder / "a/b/weights").write_text(command.card.get("method", ""))
        out.settle("a/b/")
        out.write("t", command.name)
        out.path("c/d.png").write_text("drawn")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, by its path from the folder; links by where they lead."""
    return {
        p.relative_to(folder).as_posix(): os.readlink(p).encode()
        if p.is_symlink()
        else p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_symlink() or p.is_file()
    }


def test_a_missing_or_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing/deep"):
        do(tmp_path / name)
        files = contents(tmp_path / name)
        assert files.keys() == {"train.json", "a/b/weights", "t", "c/d.png", LIST}
        assert json.loads(files["train.json"]) == FIRST.card


@pytest.mark.parametrize("second", [FIRST, OTHER, COMPARED], ids=lambda c: c.holds)
def test_a_folder_of_an_earlier_command_is_refused_with_what_it_holds(tmp_path, second):
    do(tmp_path / "o")
    before = contents(tmp_path / "o")
    message = (
        "it holds 2 runs of dpo; go on with --resume, renew with --overwrite, or nam"
    )
    for ask in (check, do):
        with pytest.raises(BadRun, match=message):
            ask(tmp_path / "o", second)
    assert contents(tmp_path / "o") == before


@pytest.mark.parametrize(
    ("second", "message"),
    [(OTHER, "method was 'dpo', is 'ipo'"), (COMPARED, "it holds 2 runs of dpo")],
)
def test_only_the_same_command_is_resumed(tmp_path, second, message):
    do(tmp_path / "o")
    before = contents(tmp_path / "o")
    with pytest.raises(BadRun, match=message):
        do(tmp_path / "o", second, resume=True)
    assert contents(tmp_path / "o") == before
    do(tmp_path / "o", FIRST, resume=True)
    assert contents(tmp_path / "o") == before


USERS = [
    "my.txt", "train.txt", "a/notes.md", "c/e/paper.pdf", "seed-plan/my.txt", "d.png",
    "a/weights", "état.md",
]  # fmt: skip


@pytest.mark.parametrize("second", [FIRST, OTHER, COMPARED], ids=lambda c: c.holds)
def test_overwriting_deletes_what_was_made_here_and_nothing_else(tmp_path, second):
    do(tmp_path / "o")
    for name in USERS:
        (tmp_path / "o" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "o" / name).write_text("years of work")
    with opened(tmp_path / "o", second, overwrite=True):
        files = contents(tmp_path / "o")
        assert files.keys() == {*USERS, second.file, LIST, LOCK}
        assert all(files[name] == b"years of work" for name in USERS)
        assert not (tmp_path / "o/a/b").exists()  # it became empty


@pytest.mark.parametrize("name", ["t", "t.partial", "a/b/README.md", "a/b/x/y", "t/x"])
@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}], ids=str)
def test_what_the_user_put_where_ours_is_to_be_is_refused(tmp_path, name, how):
    with opened(tmp_path / "o", FIRST):
        pass
    path = tmp_path / "o" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("years of work")
    before = contents(tmp_path / "o")
    with pytest.raises(BadRun, match="in the way|folder in use"):
        do(tmp_path / "o", **how)
    assert contents(tmp_path / "o") == before


@pytest.mark.parametrize("name", ["train.json", "t", "a", "x.md"])
def test_a_folder_with_the_users_files_alone_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("years of work")
    before = contents(tmp_path)
    for how in ({}, {"overwrite": True}):
        with pytest.raises(BadRun, match="folder in use: it holds something else"):
            do(tmp_path, **how)
    with pytest.raises(BadRun, match="nothing to resume"):
        do(tmp_path, resume=True)
    assert contents(tmp_path) == before


def test_there_is_nothing_to_resume_in_a_missing_folder(tmp_path):
    with pytest.raises(BadRun, match="nothing to resume"):
        do(tmp_path / "o", resume=True)
    with pytest.raises(BadOption, match="give one"):
        do(tmp_path / "o", resume=True, overwrite=True)
    assert not (tmp_path / "o").exists()


class Dead(BaseException):
    """The process was killed."""


def die(folder: Path, moment: int, monkeypatch, **how) -> bool:
    """A command that is killed before one of its changes; whether it came so far."""
    changes = [0]

    def dying(real):
        def act(*args, **more):
            changes[0] += 1
            if changes[0] > moment:
                raise Dead  # and every later change as well
            return real(*args, **more)

        return act

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "rmdir", "mkdir"):
            patch.setattr(os, name, dying(getattr(os, name)))
        try:
            do(folder, OTHER, **how)
        except Dead:
            return True
    return False


@pytest.mark.parametrize("again", ["resume", "overwrite"])
@pytest.mark.parametrize("before", ["missing", "empty", "earlier"])
def test_a_command_killed_at_any_moment_can_be_started_again(
    tmp_path, monkeypatch, before, again
):
    moment, died = 0, True
    while died:
        folder, users = tmp_path / str(moment), set()
        if before == "empty":
            folder.mkdir()
        if before == "earlier":
            do(folder, FIRST)
            (folder / "a/notes.md").write_text("years of work")
            users = {"a/notes.md"}
        earlier = contents(folder)
        died = die(folder, moment, monkeypatch, overwrite=before == "earlier")
        moment += 1
        if not folder.exists():
            continue
        try:
            do(folder, OTHER, **{again: True})
        except BadRun:  # nothing had happened yet
            assert before == "earlier"
            now = contents(folder)
            assert {n: d for n, d in now.items() if n in earlier} == earlier
            continue
        files = contents(folder)
        assert json.loads(files["train.json"]) == OTHER.card
        assert files["a/b/weights"] == b"ipo"
        assert files.keys() == users | {
            "train.json", "a/b/weights", "t", "c/d.png", LIST
        }  # fmt: skip
    assert moment > 8


CODE = """
import os, sys
from workbench.core.outputs import Command, opened
with opened(sys.argv[1], Command("train", {"method": "dpo"}, "1 run of dpo")) as out:
    out.write("t", "half")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_two_commands_do_not_write_into_one_folder_and_a_dead_one_does_not_count(
    tmp_path,
):
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, tmp_path / "o"], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    same = Command("train", {"method": "dpo"}, "1 run of dpo")
    for how in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(BadRun, match="another workbench process"):
            do(tmp_path / "o", same, **how)
    process.kill()
    process.communicate()
    do(tmp_path / "o", same, resume=True)


BROKEN = ["", "[]", "{}", "null", "1", '{"a', '["t"]', "\0", "[" * 100_000]


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}], ids=str)
@pytest.mark.parametrize("text", [*BROKEN, "folder", "link"])
@pytest.mark.parametrize("name", ["train.json", LIST])
def test_a_broken_card_or_list_is_named_and_nothing_is_changed(
    tmp_path, name, text, how
):
    do(tmp_path / "o")
    path = tmp_path / "o" / name
    path.unlink()
    if text == "folder":
        path.mkdir()
    elif text == "link":
        path.symlink_to(tmp_path)
    else:
        path.write_text(text)
    before = contents(tmp_path / "o")
    mendable = name == "train.json" and text not in ("folder", "link")
    if mendable and how == {"overwrite": True}:
        do(tmp_path / "o", OTHER, **how)
        return
    message = "train.json|folder in use|method was None" if name != LIST else LIST
    with pytest.raises(BadRun, match=message):
        do(tmp_path / "o", **how)
    assert contents(tmp_path / "o") == before


@pytest.mark.parametrize(
    "change",
    [
        {"files": ["../thesis.tex"]},
        {"files": ["c/../../thesis.tex"]},
        {"folders": ["../"]},
        {"folders": ["a"]},
        {"files": "t"},
        {"files": [1]},
        {"files": [["t"]]},
        {"clearing": "no"},
        {"more": 1},
        {"holds": 7},
    ],
    ids=str,
)
def test_a_list_that_is_none_of_ours_is_not_followed(tmp_path, change):
    (tmp_path / "thesis.tex").write_text("years of work")
    do(tmp_path / "o")
    path = tmp_path / "o" / LIST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadRun, match="broken list"):
        do(tmp_path / "o", OTHER, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("linked", ["a", "a/b", "c", "t", "train.json", "t.partial"])
def test_no_link_is_followed_out_of_the_folder(tmp_path, linked):
    away = tmp_path / "away"
    for name in ("b/weights", "weights", "d.png", "x"):
        (away / name).parent.mkdir(parents=True, exist_ok=True)
        (away / name).write_text("years of work")
    do(tmp_path / "o")
    path = tmp_path / "o" / linked
    if path.is_dir():
        path.rename(tmp_path / "moved")
    elif path.exists():
        path.unlink()
    path.symlink_to(away if linked in ("a", "a/b", "c") else away / "x")
    before = contents(away)
    for how in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(BadRun, match="link|not made"):
            do(tmp_path / "o", **how)
        assert contents(away) == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dangling", "it is a link to something that is not there"),
        ("loop", "it is a link to something that is not there"),
        ("file", "there is a file of this name"),
        ("file/deeper/o", "file is none"),
        ("n" * 300, "name too long"),
        ("null\0byte", "null"),
    ],
)
def test_a_folder_that_cannot_be_made_is_named_before_anything_is_done(
    tmp_path, name, message
):
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("years of work")
    before = contents(tmp_path)
    for ask in (check, do):
        with pytest.raises(BadRun, match="(?i)" + message):
            ask(tmp_path / name, FIRST)
    assert contents(tmp_path) == before


def test_a_link_to_a_folder_is_the_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    do(tmp_path / "link")
    assert "t" in contents(tmp_path / "real")


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *args: False)
    for ask in (check, do):
        with pytest.raises(BadRun, match="no permission"):
            ask(tmp_path / "o", FIRST)
    assert not (tmp_path / "o").exists()


def test_a_folder_that_the_system_refuses_to_make_is_named(tmp_path, monkeypatch):
    def refuse(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(BadRun, match="No space left on device"):
        do(tmp_path / "o")


def test_a_path_is_on_the_list_before_it_is_written(tmp_path):
    with opened(tmp_path / "o", FIRST) as out:
        path = out.path("c/d.png")
        assert not path.exists()
        listed = json.loads((tmp_path / "o" / LIST).read_text())
        assert {"c/d.png", "train.json"} <= set(listed["files"])


def test_what_is_put_into_a_settled_folder_later_is_the_users(tmp_path):
    do(tmp_path / "o")
    (tmp_path / "o/a/b/README.md").write_text("years of work")
    plain = Command("train", {}, "nothing")
    with opened(tmp_path / "o", plain, overwrite=True):
        assert (tmp_path / "o/a/b/README.md").read_text() == "years of work"
        assert not (tmp_path / "o/a/b/weights").exists()
