"""Options of compare are found wrong before a file is executed or anything trained."""

import os
import re
from pathlib import Path

import pytest
import typer

from workbench import cli
from workbench.core.errors import BadOption, BadRun, WorkbenchError
from workbench.experiment import comparison
from workbench.experiment.leaderboard import orders

NAN, INF = float("nan"), float("inf")
MARK = "from pathlib import Path\nPath({!r}).touch()\ndef loss(batch, cfg): ...\n"


def trained(*_):
    """Stands where training begins."""
    raise AssertionError("something was trained")


@pytest.fixture
def refused(tmp_path, written, monkeypatch):
    """The message with which settings are refused; nothing may have been done."""
    mark = tmp_path / "executed"
    mine = written(MARK.format(str(mark)))

    monkeypatch.setattr(comparison, "fit", trained)

    def ask(**settings) -> str:
        files = [mine, *settings.pop("files", ())]
        before = sorted(tmp_path.iterdir())
        with pytest.raises(WorkbenchError) as caught:
            comparison.run(
                comparison.Settings(files=files, **settings), lambda line: None
            )
        assert not mark.exists(), "a guest's file was executed"
        assert sorted(tmp_path.iterdir()) == before, "something was written"
        return str(caught.value)

    return ask


@pytest.mark.parametrize("by", ["goldd", "GOLDS", "", "rank", "problem", "sed"])
def test_a_column_that_is_none_is_refused_with_those_that_are(refused, by):
    message = refused(by=by, only=["dpo"])
    assert "sort by one of gold, regret" in message and repr(by) in message


def test_a_near_miss_of_a_column_is_suggested(refused):
    assert "did you mean gold?" in refused(by="goldd")


@pytest.mark.parametrize("by", ["regret", "frontier_gap"])
def test_stories_have_no_exact_columns_to_sort_by(refused, by):
    message = refused(by=by, world="stories")
    assert repr(by) in message and "sort by one of gold, kl" in message


@pytest.mark.parametrize("family", ["reward", "values", "decoding"])
def test_a_family_without_a_loss_on_labels_is_told_in_one_sentence(refused, family):
    message = refused(family=family)
    assert "ranks methods that train a policy" in message and family in message
    assert (
        message.endswith("direct, games, iterative, policy_gradient, supervised")
        and "\n" not in message
    )


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ({"family": "dirct"}, "direct"),
        ({"only": ["dpoo"]}, "dpo"),
        ({"only": ["dpo", "Kto"]}, "kto"),
        ({"world": "storis"}, "stories"),
    ],
)
def test_a_near_miss_of_a_name_is_suggested(refused, wrong, near):
    assert "did you mean" in (message := refused(**wrong)) and near in message


@pytest.mark.parametrize(
    ("only", "message"),
    [
        (["dpo", "kto", "dpo"], "dpo twice"),
        (["rloo"], "--family policy_gradient"),
        (["sft"], "--family supervised"),
        (["chi2_direct"], "cannot take part"),
        ([""], "no method ''"),
    ],
)
def test_a_choice_of_methods_that_cannot_be_had_is_refused(refused, only, message):
    assert message in refused(only=only)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("lr", value) for value in (NAN, INF, -INF, 1e30, 1e38, 0.0, -1e-3)],
        *[("beta", value) for value in (NAN, INF, -INF, 1e30, 1e-30, 0.0, -0.1)],
        *[("steps", value) for value in (0, -1, 10**30)],
        *[("batch_size", value) for value in (0, -1, 257, 10**30)],
        *[("seeds", value) for value in (0, -1, 10**30)],
    ],
)
def test_a_number_out_of_range_is_refused_by_its_option(refused, name, value):
    assert "--" + name.replace("_", "-") in refused(**{name: value}, only=["dpo"])


def a_file(tmp_path):
    (tmp_path / "out").write_text("mine")


def other_content(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")


def a_dangling_link(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")


@pytest.mark.parametrize("made", [a_file, other_content, a_dangling_link])
def test_a_folder_that_cannot_be_used_is_refused_first(refused, tmp_path, made):
    made(tmp_path)
    assert str(tmp_path / "out") in refused(out=tmp_path / "out", only=["dpo"])


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="no such file system here")
def test_a_folder_that_cannot_be_made_is_refused_before_training(monkeypatch):
    monkeypatch.setattr(comparison, "fit", trained)
    settings = comparison.Settings(out=Path("/proc/x"), only=["dpo"])
    with pytest.raises(BadRun, match="/proc/x: cannot be used"):
        comparison.run(settings, lambda line: None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"resume": True}, "--out"),
        ({"overwrite": True}, "--out"),
        ({"resume": True, "overwrite": True, "out": "x"}, "give one of them"),
        ({"resume": True, "out": "absent"}, "nothing to resume"),
    ],
)
def test_flags_that_have_no_meaning_are_refused(refused, tmp_path, flags, message):
    if "out" in flags:
        flags = flags | {"out": tmp_path / flags["out"]}
    assert message in refused(only=["dpo"], **flags)


@pytest.mark.parametrize("name", ["absent.py", "folder.py", "folder", "notes.txt"])
def test_a_guest_that_is_no_python_file_is_refused_first(refused, tmp_path, name):
    if name.startswith("folder"):
        (tmp_path / name).mkdir()
    if name == "notes.txt":
        (tmp_path / name).write_text("def loss(batch, cfg): ...")
    message = refused(files=[tmp_path / name], only=["dpo"])
    assert name in message and (
        "no such file" in message or "not a Python file" in message
    )


def test_two_guests_of_one_name_are_refused_first(refused, tmp_path):
    (tmp_path / "other").mkdir()
    again = tmp_path / "other" / "mine.py"
    again.write_text("def loss(batch, cfg): ...")
    assert "mine twice" in refused(files=[again], only=["dpo"])


def test_a_guest_with_a_method_s_name_is_refused_first(refused, tmp_path):
    stolen = tmp_path / "kto.py"
    stolen.write_text("def loss(batch, cfg): ...")
    assert "kto is a method's key" in refused(files=[stolen], only=["dpo"])


def test_the_help_names_every_column_and_what_a_guest_may_do():
    options = typer.main.get_command(cli.app).commands["compare"].params
    help_of = {option.name: option.help for option in options}
    assert set(orders(is_exact=True)) <= set(re.findall(r"\w+", help_of["by"]))
    assert "os._exit" in help_of["method"] and "limit of time" in help_of["method"]


def test_settings_that_are_in_range_are_none_of_these():
    comparison.Settings(lr=1.0, beta=0.5, steps=1, batch_size=1, seeds=1).check()
    with pytest.raises(BadOption, match="--lr"):
        comparison.Settings(lr=1.5).check()
