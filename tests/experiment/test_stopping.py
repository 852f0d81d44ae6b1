"""A training command that is told to end: what it says, what it leaves, how it goes on.

The processes are real; they wait at a certain step, so no test depends on a time.
"""

import os
import shlex
import signal
import sys

import pandas as pd
import pytest

from tests.experiment.common import TINY, command, contents, pairs_file, run
from workbench.cli.train import _again
from workbench.core.ending import Stopped
from workbench.loops.session import Session

ASKED = ("rloo", "--world", "reviews", "--profile", "ci", "--seeds", "2")
ASKED += ("--batch-size", "4", "--steps", "30")
HOLD = 30 + 27  # step 26 of the second seed; its last state is that before step 25
STOPS = ["SIGTERM", "SIGHUP", "SIGINT", "SIGKILL"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """What the command leaves that nobody stops."""
    out = tmp_path_factory.mktemp("whole") / "o"
    process = command(*ASKED, "--out", out)
    _, error = process.communicate()
    assert process.returncode == 0, error.decode()
    return contents(out)


def nobody_left(session: int) -> bool:
    """Whether no process of a session is left."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", STOPS)
def test_a_stopped_command_goes_on_to_the_same_bytes(tmp_path, whole, name):
    out, number = tmp_path / "the runs", getattr(signal, name)
    process = command(*ASKED, "--out", out, hold=HOLD)
    while (line := process.stdout.readline()) and line != b"ready\n":
        pass
    process.send_signal(number)
    _, error = process.communicate()
    assert nobody_left(process.pid)
    assert (out / "metrics.csv").is_file()  # of the seed that was finished
    assert pd.read_csv(out / "metrics.csv")["seed"].unique().tolist() == [0]
    again = [*ASKED, "--out", str(out), "--resume"]
    if name == "SIGKILL":
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        (message,) = [s for s in error.decode().splitlines() if s.startswith("stopped")]
        assert (
            f"{out} keeps 1 of 2 finished runs and seed-1 as it was at step 25;"
            in message
        )
        told = message.split("to go on: ")[1]
        assert shlex.split(told) == ["workbench", "train", *again]
        again = shlex.split(told)[2:]
    process = command(*again)
    _, error = process.communicate()
    assert process.returncode == 0, error.decode()
    now = contents(out)
    assert now.keys() == whole.keys()
    same = {name for name in now if not name.endswith(".png")}
    assert [name for name in same if now[name] != whole[name]] == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Stopped(signal.SIGTERM)])
def test_what_is_kept_is_said_and_the_interruption_goes_on(
    tmp_path, monkeypatch, capsys, error
):
    real, calls = Session.step, []

    def step(self, *args, **more):
        calls.append(self.at)
        if len(calls) == 6:
            raise error
        return real(self, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "step", step)
        with pytest.raises(type(error)):
            run("dpo", tmp_path / "o", **TINY | {"steps": 4}, seeds=2)
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert "keeps 1 of 2 finished runs and seed-1 as it was at step 1" in output
    assert "the same call with resume=True" in output
    run("dpo", tmp_path / "o", **TINY | {"steps": 4}, seeds=2, resume=True)
    run("dpo", tmp_path / "whole", **TINY | {"steps": 4}, seeds=2)
    resumed, whole = contents(tmp_path / "o"), contents(tmp_path / "whole")
    assert resumed["metrics.csv"] == whole["metrics.csv"]


def test_an_interruption_while_reading_says_that_nothing_was_written(
    tmp_path, monkeypatch, capsys
):
    def interrupt(*args, **more):
        raise KeyboardInterrupt

    run("bt", tmp_path / "o", **TINY)
    before = contents(tmp_path / "o")
    capsys.readouterr()
    pairs = pairs_file(tmp_path / "p.jsonl", ["a", "b"])
    monkeypatch.setattr("workbench.feedback.files.read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run("dpo", tmp_path / "o", pairs=pairs, overwrite=True)
    assert "stopped: nothing was written" in capsys.readouterr().err
    assert contents(tmp_path / "o") == before


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["train", "dpo", "--out", "o"], "workbench train dpo --out o --resume"),
        (["train", "dpo", "--out", "a b"], "workbench train dpo --out 'a b' --resume"),
        (["train", "--resume", "dpo"], "workbench train dpo --resume"),
        (["train", "dpo", "--overwrite"], "workbench train dpo --resume"),
        (["train", "--set", "a=$(x)"], "workbench train --set 'a=$(x)' --resume"),
    ],
)
def test_the_command_to_go_on_with_can_be_pasted(typed, told):
    assert _again(typed) == told


@pytest.mark.skipif(sys.platform != "linux", reason="locales by name")
@pytest.mark.parametrize("name", ["fïlme.jsonl", "映画.jsonl", "a b'\"<i>.jsonl"])
def test_a_file_name_of_any_letters_works_in_a_plain_locale(tmp_path, name):
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    pairs = pairs_file(tmp_path / name, ["a", "b", "c"])
    process = command(
        "sft", "--pairs", pairs, "--out", tmp_path / "o", "--profile", "ci",
        "--steps", "1", "--max-length", "16", **plain,
    )  # fmt: skip
    output, error = process.communicate()
    assert process.returncode == 0, error.decode()
    assert b"written to" in output
    import html

    report = (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    assert html.escape(name) in report
