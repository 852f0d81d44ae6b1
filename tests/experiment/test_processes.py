"""Two processes train as one does: losses of each step, weights, one writer."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from tests.experiment import two_processes
from tests.experiment.common import contents
from tests.experiment.two_processes import thumbs_file
from tests.models import families
from workbench.core import processes
from workbench.core.errors import BadCall, BadOption
from workbench.experiment import problem
from workbench.experiment.training import run_command
from workbench.loops import offline
from workbench.methods.direct.unpaired import kto

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
          "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
          "--main_process_port", "0"]  # fmt: skip


def test_two_processes_are_one_run(tmp_path):
    """KTO, whose reference point is a mean over both shares, of 4 and 3 responses."""
    model = families.save("chatml", tmp_path / "model")
    pairs = thumbs_file(tmp_path / "rows.jsonl")
    usual = {"steps": 3, "batch_size": 7, "max_length": 64, "samples": 2, "max_new": 2,
             "lr": 1e-3, "micro_batch": 2, "held_out": 4}  # fmt: skip
    one = run_command("kto", pairs=pairs, model=model, out=tmp_path / "one", every=1,
                      echo=lambda line: None, **usual)  # fmt: skip
    options = [f"--{k.replace('_', '-')}={v}" for k, v in usual.items()]
    command = [sys.executable, *LAUNCH, "-m", "workbench", "train", "kto", "--pairs"]
    command += [pairs, "--model", model, "--out", tmp_path / "two", *options]
    here = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(word) for word in (*command, "--eval-every=1")], env=os.environ | here,
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("written to") == 1
    both = [pd.read_csv(out / "metrics.csv") for out in (one, tmp_path / "two")]
    for name in ("loss", "chosen", "rejected", "kl"):
        gap = (both[0][name] - both[1][name]).abs().max()
        assert len(both[1]) == 4 and gap <= 1e-5, name
    weights = [
        load_file(out / "seed-0" / "policy" / "model.safetensors")
        for out in (one, tmp_path / "two")
    ]
    before = load_file(model / "model.safetensors")
    for name, tensor in weights[0].items():
        assert (tensor - weights[1][name]).abs().max() <= 1e-5, name
    assert any((weights[0][n] - before[n]).abs().max() > 1e-3 for n in before)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_two_processes_that_are_stopped_go_on_to_the_same_bytes(tmp_path):
    """Stopped before step 3, of which the last kept state is that before step 2."""
    usual = {
        "method": "kto", "pairs": thumbs_file(tmp_path / "rows.jsonl"),
        "model": families.save("chatml", tmp_path / "model"), "steps": 5, "every": 2,
        "batch_size": 7, "max_length": 64, "samples": 2, "max_new": 2, "lr": 1e-3,
        "held_out": 4,
    }  # fmt: skip
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert two_processes.train(whole, **usual) == [0, 0]
    assert two_processes.train(out, held=3, **usual) == [143, 143]
    state = out / "seed-0" / "state" / "latest"
    assert state.read_text().strip() == "step-2"
    assert not (out / "seed-0" / "metrics.csv").exists()
    assert two_processes.train(out, resume=True, **usual) == [0, 0]
    one, two = contents(out), contents(whole)
    assert one.keys() == two.keys()
    same = {name for name in one if not name.endswith(".png")}
    assert [name for name in same if one[name] != two[name]] == []


@pytest.fixture
def launched(monkeypatch):
    """The environment of the second of three processes."""
    for name, value in zip(processes._TOLD, ("1", "1", "3", "here"), strict=True):
        monkeypatch.setenv(name, value)


def test_what_a_launcher_says_is_heard(launched, monkeypatch):
    assert (processes.count(), processes.number(), processes.is_main()) == (3, 1, False)
    monkeypatch.delenv("MASTER_ADDR")  # of a cluster's queue, and no launcher
    assert (processes.count(), processes.number(), processes.is_main()) == (1, 0, True)


@pytest.mark.parametrize(
    ("method", "more", "message"),
    [
        ("rloo", {}, "several processes.*rloo.*in one process"),
        ("dpo", {"batch_size": 2}, "--batch-size 2 leaves nothing for some of 3"),
        ("dpo", {"device": "cuda:0"}, "cuda:0 is one GPU"),
    ],
)
def test_what_several_cannot_do_is_refused(
    launched, monkeypatch, tmp_path, method, more, message
):
    class Alone:
        device = torch.device("cpu")

    monkeypatch.setattr(processes, "_state", lambda cpu=False: Alone())
    with pytest.raises(BadOption, match=message):
        run_command(method, world="reviews", out=tmp_path / "out", **more)
    assert not (tmp_path / "out").exists()


def test_a_share_without_an_example_is_an_error(launched, monkeypatch):
    monkeypatch.setattr(processes, "total", lambda tensor: tensor)
    where = problem.of_reviews((0,), max_words=2, n_pairs=4)
    with pytest.raises(BadCall, match="batch of 1 is too small"):
        offline.fit(where.start(), where.reference, where.data(kto), kto, kto.Config(),
                    steps=1, batch_size=1)  # fmt: skip
