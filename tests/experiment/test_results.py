"""Results are kept as they come: a contest in pieces ends as one that was never cut."""

import json
import shutil
import signal
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from workbench import cli
from workbench.core.errors import BadRun
from workbench.experiment import comparison
from workbench.experiment.candidates import Candidate
from workbench.methods.direct.links import dpo
from workbench.methods.direct.unpaired import kto

MINE = "def loss(batch, cfg):\n    return (batch.margin() - 1) ** 2\n"
ONLY = ("dpo", "kto", "nca")
BRIEF = {"only": ONLY, "seeds": 2, "steps": 2, "batch_size": 8}
SAME = ("runs.csv", "standings.csv", "arena.png", "compare.json")


def quiet(line: str) -> None:
    """Say nothing."""


def run(out, **settings):
    return comparison.run(comparison.Settings(out=out, **(BRIEF | settings)), quiet)


def contents(out) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in SAME}


def methods(out) -> list[str]:
    return list(dict.fromkeys(pd.read_csv(out / "runs.csv")["method"]))


class Cut(KeyboardInterrupt):
    """Ctrl-C at a moment of our choice."""


def cut_after(number: int):
    """An echo that is interrupted once so many objectives are done."""

    def echo(line: str) -> None:
        if line.startswith(f"[{number}/"):
            raise Cut

    return echo


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    path = tmp_path_factory.mktemp("guest") / "mine.py"
    path.write_text(MINE)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory, guest):
    """A contest that was never interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    run(out, files=[guest])
    return out


@pytest.mark.parametrize("number", [1, 2, 4])
def test_an_interrupted_contest_keeps_what_is_done_and_ends_the_same(
    tmp_path, capsys, monkeypatch, guest, whole, number
):
    out = tmp_path / "out"
    settings = comparison.Settings(out=out, files=[guest], **BRIEF)
    with pytest.raises(KeyboardInterrupt):
        comparison.run(settings, cut_after(number))
    output = capsys.readouterr().err
    assert f"{number} of 4 objectives" in output and "--resume" in output
    assert methods(out) == ["mine", *ONLY][:number]
    trained, real = [], comparison.fit

    def counted(entrant: Candidate, *rest):
        trained.append(entrant.key)
        return real(entrant, *rest)

    monkeypatch.setattr(comparison, "fit", counted)
    run(out, files=[guest], resume=True)
    assert trained == ["mine", *ONLY][number:]
    assert contents(out) == contents(whole)


WAITING = """
import signal, sys
from workbench import cli
from workbench.experiment import comparison

told = comparison.line

def wait(frame):
    print("kept", flush=True)
    signal.pause()
    return told(frame)

comparison.line = wait
cli.main()
"""


@pytest.mark.skipif(not hasattr(signal, "pause"), reason="no such signals here")
@pytest.mark.parametrize(
    ("name", "status"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGKILL", -9)]
)
def test_a_contest_ended_by_a_signal_ends_the_same_when_resumed(
    tmp_path, guest, whole, name, status
):
    out = tmp_path / "out"
    only = [word for key in ONLY for word in ("--only", key)]
    asked = [*only, "--seeds", "2", "--steps", "2", "--batch-size", "8"]
    asked += ["--method", str(guest), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, "compare", *asked],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert any(line == "kept\n" for line in process.stdout)
    process.send_signal(getattr(signal, name))
    _, output = process.communicate()
    assert process.returncode == status, output
    assert name == "SIGKILL" or "1 of 4 objectives are done" in output
    assert "Traceback" not in output
    assert methods(out) == ["mine"]
    run(out, files=[guest], resume=True)
    assert contents(out) == contents(whole)


def test_a_contest_that_was_stopped_early_says_that_nothing_changed(tmp_path, capsys):
    out, path = tmp_path / "out", tmp_path / "early.py"
    path.write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        run(out, files=[path])
    assert "before anything was trained" in capsys.readouterr().err
    assert not out.exists()


# ---- what is resumed ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"steps": 3}, "steps was 2, is 3"),
        ({"seeds": 3}, "seeds was 2, is 3"),
        ({"batch_size": 4}, "batch_size was 8, is 4"),
        ({"lr": 0.01}, "lr was 0.001, is 0.01"),
        ({"beta": 0.2}, "beta was None, is 0.2"),
        ({"by": "kl"}, "by was 'gold', is 'kl'"),
        ({"only": ("dpo",)}, "methods was"),
        ({"only": ("kto", "dpo", "nca")}, "methods was"),
        ({"files": []}, "sha256 of mine.py was"),
    ],
)
def test_other_settings_are_not_resumed_and_are_named(guest, whole, other, named):
    before = contents(whole)
    with pytest.raises(BadRun) as caught:
        run(whole, resume=True, **({"files": [guest]} | other))
    assert named in str(caught.value)
    assert contents(whole) == before


@pytest.mark.parametrize("name", ["mine.py", "other.py"])
def test_a_changed_file_is_not_resumed_and_is_named(tmp_path, whole, name):
    path = tmp_path / name
    path.write_text(MINE + "# another remark\n")
    with pytest.raises(BadRun, match=f"sha256 of {name} was"):
        run(whole, files=[path], resume=True)


def test_a_finished_contest_is_not_begun_anew_without_a_word(guest, whole):
    before = contents(whole)
    with pytest.raises(BadRun, match="a comparison of 4 objectives.*--resume"):
        run(whole, files=[guest])
    assert contents(whole) == before


def test_overwrite_begins_anew_and_leaves_what_is_not_ours(tmp_path):
    out = tmp_path / "out"
    run(out, only=("dpo",))
    (out / "thesis.txt").write_text("mine")
    run(out, only=("kto",), overwrite=True)
    assert methods(out) == ["kto"]
    assert (out / "thesis.txt").read_text() == "mine"


def test_a_refused_guest_leaves_the_earlier_contest(tmp_path, whole):
    bad, before = tmp_path / "bad.py", contents(whole)
    bad.write_text("raise SystemExit")
    with pytest.raises(ValueError, match="while importing"):
        run(whole, files=[bad], overwrite=True)
    assert contents(whole) == before


BREAK = {
    "empty": lambda text: "",
    "one line": lambda text: text.splitlines()[0],
    "noise": lambda text: "\0\1\2",
    "half a row": lambda text: text[: len(text) - len(text.splitlines()[-1]) // 2],
    "a row less": lambda text: "\n".join(text.splitlines()[:-1]) + "\n",
    "a row twice": lambda text: text + text.splitlines()[-1] + "\n",
    "another method": lambda text: text.replace("nca,", "rso,"),
    "no header": lambda text: "\n".join(text.splitlines()[1:]),
    "another seed": lambda text: text.replace(",1,", ",7,"),
    "neither true nor false": lambda text: text.replace("False", "Maybe"),
    "an open quote": lambda text: text.replace("nca", '"nca'),
    "a column renamed": lambda text: text.replace("problem", "trouble"),
    "a word for a number": lambda text: text.replace(",False,", ",False,x"),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A contest of one method."""
    out = tmp_path_factory.mktemp("small") / "out"
    run(out, only=("nca",))
    return out


@pytest.mark.parametrize("kind", BREAK)
def test_a_broken_table_is_refused_by_name(tmp_path, small, kind):
    out = shutil.copytree(small, tmp_path / "out")
    runs, text = out / "runs.csv", (out / "runs.csv").read_text()
    runs.write_text(BREAK[kind](text))
    assert runs.read_text() != text
    before = contents(out)
    with pytest.raises(BadRun, match="broken results.*--overwrite"):
        run(out, only=("nca",), resume=True)
    assert contents(out) == before


def test_seconds_are_kept_beside_and_a_lost_file_of_them_is_no_harm(tmp_path, small):
    out = shutil.copytree(small, tmp_path / "out")
    assert "seconds" not in pd.read_csv(out / "runs.csv")
    spent = pd.read_csv(out / "seconds.csv").set_index("method")["seconds"]
    table = run(out, only=("nca",), resume=True)
    assert table["seconds"].tolist() == [spent["nca"]]
    (out / "seconds.csv").unlink()
    assert run(out, only=("nca",), resume=True)["seconds"].isna().all()


# ---- methods that fail --------------------------------------------------------------


def broken(monkeypatch, *modules) -> None:
    """Let methods of the library fail."""
    for module in modules:
        reads = module.loss.__annotations__["batch"]

        def loss(batch, cfg):
            raise RuntimeError("no such luck, alas")

        loss.__annotations__["batch"] = reads
        monkeypatch.setattr(module, "loss", loss)


@pytest.mark.parametrize("failing", [(dpo,), (kto,), (dpo, kto)])
def test_a_failure_of_the_library_is_kept_and_resumed_too(
    tmp_path, monkeypatch, failing
):
    broken(monkeypatch, *failing)
    one, two = tmp_path / "one", tmp_path / "two"
    run(one)
    settings = comparison.Settings(out=two, **BRIEF)
    with pytest.raises(KeyboardInterrupt):
        comparison.run(settings, cut_after(2))
    table = run(two, resume=True)
    assert contents(one) == contents(two)
    lost = table[table["problem"] != ""]
    assert len(lost) == len(failing) and lost["problem"].str.contains("alas").all()


def test_a_contest_that_all_failed_has_a_table_and_status_1(tmp_path, monkeypatch):
    broken(monkeypatch, dpo, kto)
    asked = "compare --only dpo --only kto --seeds 1 --steps 2 --out".split()
    done = CliRunner().invoke(cli.app, [*asked, str(tmp_path / "out")])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert "alas" in done.stdout and "no objective could be trained" in done.stderr
    assert (tmp_path / "out" / "standings.csv").exists()


# ---- JSON ---------------------------------------------------------------------------


def test_json_is_all_that_stdout_holds(tmp_path, monkeypatch):
    broken(monkeypatch, kto)
    path = tmp_path / "loud.py"
    path.write_text("print('hello')\n" + MINE + "    print('never')\n")
    asked = "compare --json --only dpo --only kto --seeds 2 --steps 2 --method".split()
    done = CliRunner().invoke(cli.app, [*asked, str(path)])
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    by_method = {row["method"]: row for row in rows}
    assert by_method["loud"]["outside"] is True
    assert isinstance(by_method["dpo"]["gold"], float)
    assert by_method["kto"]["gold"] is None and "alas" in by_method["kto"]["problem"]
    assert "[3/3]" in done.stderr and "hello" in done.stderr


def test_json_of_a_refusal_is_empty(tmp_path):
    done = CliRunner().invoke(cli.app, ["compare", "--json", "--by", "goldd"])
    assert done.exit_code == 1 and done.stdout == ""
    assert "did you mean gold?" in done.stderr
