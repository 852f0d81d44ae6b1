"""The folder of a training command: what it made goes on or goes, the rest stays."""

import errno
import os
import shutil

import pytest

from tests.experiment.common import FILE, TINY, contents, pairs_file, run
from workbench.core.claimed import claimed
from workbench.core.errors import BadOption, BadRun, WorkbenchError
from workbench.experiment.training_settings import Settings

MINE = {
    "notes.txt", "seed-plan/my.txt", "reference/paper.pdf", "seed-0/notes.md",
    "seed-7/x", "policy/y", "seed-0/plots/a.png", "ünï/c",
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished command with two seeds, and files of the user's among its own."""
    folder = tmp_path_factory.mktemp("finished") / "o"
    run("dpo", folder, **TINY, seeds=2)
    for name in MINE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("years of work")
    return folder


@pytest.fixture
def earlier(finished, tmp_path):
    """A copy of it that a test may change."""
    return shutil.copytree(finished, tmp_path / "o")


BAD = [
    {"pairs": "broken.jsonl", "world": None},
    {"pairs": "missing.jsonl", "world": None},
    {"pairs": "one.jsonl", "world": None},
    {"pairs": "ok.jsonl", "world": None, "model": "missing"},
    {"pairs": "ok.jsonl", "world": None, "model": "empty"},
    {"pairs": "ok.jsonl", "world": None, "form": "nosuch"},
    {"device": "nosuch"},
    {"device": "meta"},
    {"options": {"beta": "0"}},
    {"options": {"bta": "1"}},
    {"lr": float("nan")},
    {"max_words": 9},
    {"method": "no_such"},
    {"method": "best_of_n"},
    {"method": "vpl"},
    {"users": 2, "world": "stories"},
    {"method": "list_mle", "n_pairs": 2},
    {"method": "c3po", "pairs": "ok.jsonl", "world": None},
    {"method": "rloo", "pairs": "ok.jsonl", "world": None},
    {"method": "exo_pref", "options": {"epsilon": "0"}},
    {"resume": True},
]


@pytest.mark.parametrize("wrong", BAD, ids=str)
def test_a_command_that_fails_leaves_the_folder_as_it_was(earlier, tmp_path, wrong):
    pairs_file(tmp_path / "ok.jsonl", ["a", "b", "c"])
    pairs_file(tmp_path / "one.jsonl", ["a"])
    (tmp_path / "broken.jsonl").write_text('{"prompt": "half\n')
    (tmp_path / "empty").mkdir()
    asked = {"method": "ipo", "overwrite": True} | TINY | wrong
    asked |= {k: tmp_path / asked[k] for k in ("pairs", "model") if k in asked}
    before = contents(earlier)
    with pytest.raises(WorkbenchError):
        run(asked.pop("method"), earlier, **asked)
    assert contents(earlier) == before


def test_an_earlier_command_is_refused_with_what_it_holds(earlier):
    before = contents(earlier)
    message = "it holds 2 runs of dpo; go on with --resume, renew with --overwrite, or"
    for method in ("dpo", "ipo"):
        with pytest.raises(BadRun, match=message):
            run(method, earlier, **TINY)
    assert contents(earlier) == before


@pytest.mark.parametrize("method", ["bt", "ipo"])
def test_overwriting_leaves_nothing_of_the_old_command_and_all_of_the_users(
    earlier, tmp_path, method
):
    run(method, earlier, **TINY, overwrite=True)
    run(method, tmp_path / "new", **TINY)
    new, now = contents(tmp_path / "new"), contents(earlier)
    assert now.keys() == new.keys() | MINE
    assert {n for n in new if not n.endswith(".png") and now[n] != new[n]} <= {
        "report.html"
    }
    assert all(now[name] == b"years of work" for name in MINE)


def test_a_finished_command_is_resumed_without_a_change(earlier):
    before = contents(earlier)
    run("dpo", earlier, **TINY, seeds=2, resume=True)
    now = contents(earlier)
    assert now.keys() == before.keys()
    assert {
        n for n in before if not n.endswith(".png") and now[n] != before[n]
    } == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 3}, "steps was 2, is 3"),
        ({"lr": 0.5}, "lr was None, is 0.5"),
        ({"options": {"beta": "1"}}, "options was {}, is {'beta': '1'}"),
        ({"method": "ipo"}, "method was 'dpo', is 'ipo'"),
    ],
)
def test_another_command_is_not_resumed_and_the_difference_is_named(
    earlier, change, message
):
    asked = {"method": "dpo", "seeds": 2} | TINY | change
    before = contents(earlier)
    with pytest.raises(BadRun) as caught:
        run(asked.pop("method"), earlier, **asked, resume=True)
    assert message in str(caught.value)
    assert contents(earlier) == before


@pytest.mark.parametrize("text", ["", "[]", "null", '{"method": "dp', "folder"])
@pytest.mark.parametrize("name", ["train.json", ".workbench-files"])
def test_a_broken_file_of_the_folder_is_named(earlier, name, text):
    (earlier / name).unlink()
    if text == "folder":
        (earlier / name).mkdir()
    else:
        (earlier / name).write_text(text)
    before = contents(earlier)
    with pytest.raises(BadRun, match=name):
        run("dpo", earlier, **TINY, seeds=2, resume=True)
    assert contents(earlier) == before


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *[("metrics.csv", what) for what in ("folder", "link")],
        *[("report.html", what) for what in ("folder", "link")],
        *[("kl_drift.png", what) for what in ("folder", "link")],
        *[("seed-0/run.json", what) for what in ("folder", "link")],
        *[("seed-1/policy", what) for what in ("folder", "link", "file")],
        *[("seed-1", what) for what in ("link", "file")],
    ],
)
def test_the_users_own_thing_in_the_way_is_told_before_training(tmp_path, name, what):
    folder, away = tmp_path / "o", tmp_path / "away"
    run("dpo", folder, **TINY | {"steps": 1}, seeds=1)
    path = folder / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    away.mkdir()
    if what == "link":
        path.symlink_to(away)
    elif what == "folder":
        path.mkdir()
        (path / "mine").write_text("years of work")
    else:
        path.write_text("years of work")
    before = contents(folder)
    for how in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(BadRun, match="in the way|another command"):
            run("dpo", folder, **TINY | {"steps": 1}, seeds=2, **how)
        assert contents(folder) == before
    assert not list(away.iterdir())


def test_two_commands_do_not_train_into_one_folder(earlier):
    before = contents(earlier)
    with claimed(earlier):
        for how in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(BadRun, match="another workbench process"):
                run("dpo", earlier, **TINY, seeds=2, **how)
    assert contents(earlier) == before


def test_a_checkpoint_inside_the_folder_is_not_overwritten(tmp_path):
    pairs = pairs_file(tmp_path / "p.jsonl", ["a", "b", "c"])
    run("sft", tmp_path / "o", pairs=pairs, **FILE)
    before = contents(tmp_path / "o")
    model = tmp_path / "o" / "seed-0" / "policy"
    with pytest.raises(BadOption, match="lies in --out"):
        run("dpo", tmp_path / "o", pairs=pairs, model=model, **FILE, overwrite=True)
    assert contents(tmp_path / "o") == before


def test_a_card_is_the_command_and_says_nothing_of_how_it_was_started(tmp_path):
    assert not {"resume", "overwrite", "out"} & set(Settings("dpo", "reviews").card())


# ---- a disk that is full, read-only or refuses --------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A preference file, and what an undisturbed command makes of it."""
    folder = tmp_path_factory.mktemp("whole")
    pairs = pairs_file(folder / "p.jsonl", list("abcdefgh"))
    run("dpo", folder / "o", pairs=pairs, **FILE)
    return pairs, contents(folder / "o")


class Disk:
    """Refuses to write, to move or to make whatever has a text in its path."""

    def __init__(self, monkeypatch, text: str, number: int):
        self.text, self.number = text, number
        opened = open

        def opening(file, mode="r", *args, **more):
            if set("wxa+") & set(mode):
                self.refuse(file)
            return opened(file, mode, *args, **more)

        monkeypatch.setattr("builtins.open", opening)
        monkeypatch.setattr("io.open", opening)
        for name, place in (("replace", 1), ("mkdir", 0)):
            monkeypatch.setattr(os, name, self.guard(getattr(os, name), place))
        import safetensors.torch as st

        monkeypatch.setattr(st, "save_file", self.guard(st.save_file, 1))

    def refuse(self, path) -> None:
        if self.text in str(path):
            raise OSError(self.number, os.strerror(self.number), str(path))

    def guard(self, real, place: int):
        def act(*args, **more):
            self.refuse(args[place])
            return real(*args, **more)

        return act


PLACES = [
    "o/train.json", ".workbench-files", "o/reference", "reference/run.json",
    "reference/state", "tensors.safetensors", "progress.json", "latest",
    "policy.partial", "seed-0/policy/tokenizer", "seed-0/metrics.csv",
    "o/metrics.csv", "kl_drift.png", "kl_drift.json", "report.html",
]  # fmt: skip
REFUSED = [
    *[(place, errno.ENOSPC) for place in PLACES],
    *[(place, errno.EROFS) for place in ("o/train.json", "latest", "kl_drift.png")],
    *[(place, errno.EACCES) for place in ("o/reference", "report.html")],
]


@pytest.mark.parametrize(("text", "number"), REFUSED)
def test_what_the_disk_refuses_is_one_sentence_and_can_be_resumed(
    tmp_path, whole, monkeypatch, text, number
):
    pairs, uninterrupted = whole
    with monkeypatch.context() as patch:
        Disk(patch, text, number)
        with pytest.raises(BadRun, match=os.strerror(number)) as caught:
            run("dpo", tmp_path / "o", pairs=pairs, **FILE)
        assert "\n" not in str(caught.value)
    run("dpo", tmp_path / "o", pairs=pairs, **FILE, resume=True)
    now = contents(tmp_path / "o")
    assert now.keys() == uninterrupted.keys()
    differ = {name for name in now if now[name] != uninterrupted[name]}
    assert {name for name in differ if not name.endswith(".png")} == set()
