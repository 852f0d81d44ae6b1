"""A sweep is `train` at every point of a grid: same numbers, same ways of ending."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest
from typer.testing import CliRunner

from workbench import cli

RUNNER = CliRunner()
FEW = ["--world", "reviews", "--steps", "2", "--seeds", "1"]


def said(*arguments: str):
    """What a sweep of dpo ends with, its output without a terminal's boxes."""
    return RUNNER.invoke(cli.app, ["sweep", "dpo", *arguments])


def test_each_point_is_the_run_that_train_makes(tmp_path):
    grid = ["--set", "beta=0.1,1", "--over", "lr=1e-2"]
    done = said(*grid, *FEW, "--out", str(tmp_path / "all"))
    assert done.exit_code == 0, done.output
    point = tmp_path / "all" / "lr=1e-2,beta=1"
    alone = ["train", "dpo", *FEW, "--set", "beta=1", "--lr", "1e-2"]
    RUNNER.invoke(cli.app, [*alone, "--out", str(tmp_path / "one")])
    named = "metrics.csv"
    assert (point / named).read_bytes() == (tmp_path / "one" / named).read_bytes()
    other = tmp_path / "all" / "lr=1e-2,beta=0.1" / named
    assert other.read_bytes() != (point / named).read_bytes()
    compared = pd.read_csv(tmp_path / "all" / "compared" / "runs.csv")
    assert set(compared["run"]) == {"lr=1e-2,beta=0.1", "lr=1e-2,beta=1"}
    again = said(*grid, *FEW, "--out", str(tmp_path / "all"))
    assert again.exit_code == 0, again.output
    assert (point / named).read_bytes() == (tmp_path / "one" / named).read_bytes()


def test_the_numbers_as_json_are_alone_on_stdout(tmp_path):
    """Of two points, one of which cannot be trained, and then of both."""
    out = tmp_path / "out"
    (out / "beta=1").mkdir(parents=True)
    (out / "beta=1" / "train.json").write_text("{}")
    words = ["--set", "beta=0.1,1", *FEW, "--out", str(out), "--json"]
    done = said(*words)
    assert done.exit_code == 1 and "beta=0.1: done" in done.stderr
    metrics = pd.read_csv(out / "beta=0.1" / "metrics.csv")
    [margin] = [row for row in json.loads(done.stdout) if row["measure"] == "margin"]
    last = metrics["margin"].iloc[-1]
    assert (margin["run"], margin["value"]) == ("beta=0.1", pytest.approx(last))
    (out / "beta=1" / "train.json").unlink()
    done = said(*words)
    assert done.exit_code == 0 and f"written to {out}" in done.stderr
    runs = {row["run"] for row in json.loads(done.stdout)}
    assert runs == {"beta=0.1", "beta=1"}


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ((), "needs --over"),
        (("--set", "beta"), "name=v1,v2"),
        (("--set", "beta=0.1,-1"), "beta is positive"),
        (("--over", "lr=1e-3,-1"), "--lr is positive"),
        (("--over", "lr=1e-3,1e-3"), "the same"),
        (("--over", "width=64,65"), "--width is a multiple of 16"),
        (("--over", "lrs=1,2"), "No such option"),
        (("--set", "betas=1,2"), "betas"),
    ],
)
def test_a_wrong_point_is_told_before_the_first_run(grid, words, tmp_path):
    done = said(*grid, *FEW, "--out", str(tmp_path / "out"))
    assert done.exit_code and words in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_is_named_and_the_others_are_done(tmp_path):
    out = tmp_path / "out"
    (out / "beta=1").mkdir(parents=True)
    (out / "beta=1" / "mine.txt").write_text("kept")
    (out / "beta=1" / "train.json").write_text("{}")
    done = said("--set", "beta=0.1,1", *FEW, "--out", str(out))
    assert done.exit_code == 1 and "1 of 2 runs failed" in done.output
    assert (out / "beta=1" / "mine.txt").read_text() == "kept"
    assert (out / "beta=0.1" / "metrics.csv").is_file()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_sigterm_ends_all_runs(tmp_path):
    words = ["sweep", "dpo", "--set", "beta=0.1,1", "--world", "reviews", "--jobs", "2"]
    words += ["--steps", "100000", "--out", str(tmp_path)]
    run = subprocess.Popen(
        [sys.executable, "-m", "workbench", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    states = [tmp_path / f"beta={beta}" / "seed-0" / "state" for beta in ("0.1", "1")]
    end = time.monotonic() + 300
    while not all(state.exists() for state in states) and time.monotonic() < end:
        time.sleep(0.1)
    kin = psutil.Process(run.pid).children(recursive=True)
    assert len(kin) >= 2
    run.send_signal(signal.SIGTERM)
    output, _ = run.communicate(timeout=300)
    _, alive = psutil.wait_procs(kin, timeout=60)
    assert not alive and run.returncode == 143, output
    assert all(state.exists() for state in states)  # to go on with
