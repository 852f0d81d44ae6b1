"""Runs side by side: numbers as their commands wrote them, and what is no run."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.experiment.common import TINY
from tests.experiment.common import run as train
from tests.models import families
from workbench.cli import app
from workbench.core.errors import BadOption, BadRun
from workbench.core.statistics import interval
from workbench.experiment import compared_runs
from workbench.experiment.audit import Settings
from workbench.experiment.audit_report import run_command


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A training of two seeds, another of one, and an audit."""
    root = tmp_path_factory.mktemp("compared")
    train("dpo", root / "two" / "run", seeds=2, **TINY)
    train("hinge", root / "one" / "run", options={"beta": "0.7"}, **TINY)
    model = str(families.save("chatml", root / "model"))
    line = {"prompt": "Name a colour", "chosen": " green", "rejected": " tea"}
    (root / "pairs.jsonl").write_text(json.dumps(line) + "\n")
    asked = Settings(model, model, str(root / "pairs.jsonl"), samples=2, max_new=2)
    asked = Settings(**asked.card() | {"max_length": 64})
    run_command(asked, root / "audit", echo=lambda line: None)
    return root


def command(*words):
    return CliRunner().invoke(app, ["compare-runs", *map(str, words)])


def test_a_training_is_its_last_step_over_its_seeds(root):
    one, _ = compared_runs.read([root / "two" / "run", root / "audit"])
    frame = pd.read_csv(root / "two" / "run" / "metrics.csv")
    last = frame[frame["step"] == 2]
    row = one.values.set_index("measure").loc["margin"]
    ends = interval(last["margin"].tolist())
    assert row[["value", "low", "high"]].tolist() == pytest.approx(list(ends))
    drift = one.values.set_index("measure").loc["drift", "value"]
    assert drift == pytest.approx(last["kl"].mean())
    assert [step for step, _ in one.curves["margin"]] == [0, 1, 2]


def test_an_audit_is_its_tables(root):
    one, _ = compared_runs.read([root / "audit", root / "two" / "run"])
    rows = one.values.set_index("measure")
    assert rows.loc["accuracy", "value"] == 0.5  # against itself every pair is a tie
    kl = pd.read_csv(root / "audit" / "drift.csv").set_index("estimator")
    assert rows.loc["drift", "value"] == kl.loc["rao-blackwell", "mean"]
    assert rows.loc["sampled length after", "value"] > 0


def test_names_tell_runs_apart_and_notes_what_they_do_not_share(root):
    folders = [root / "two" / "run", root / "one" / "run", root / "audit"]
    runs = compared_runs.read(folders)
    assert [one.name for one in runs] == [
        "two/run", "one/run", f"{root.name}/audit"
    ]  # fmt: skip
    told = compared_runs.notes(runs)
    assert any("other pairs" in t and "pairs.jsonl" in t for t in told)
    assert any("other β" in t and "one/run: 0.7" in t for t in told)
    assert any("intervals are over the prompts" in t for t in told)
    assert compared_runs.notes(runs[:1]) == []


def test_the_command_prints_a_table_and_leaves_a_page(root, tmp_path):
    folders = [root / "two" / "run", root / "audit"]
    done = command(*folders, "--out", tmp_path / "out")
    assert done.exit_code == 0
    header = next(line for line in done.stdout.splitlines() if "measure" in line)
    assert header.split() == ["measure", "run", "audit"]
    long = pd.read_csv(tmp_path / "out" / "runs.csv")
    assert set(long["run"]) == {"run", "audit"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('<figure class="live">') == 3 and len(page) < 5_000_000
    assert command(*folders, "--out", tmp_path / "out").exit_code == 1
    again = command(*folders, "--out", tmp_path / "out", "--overwrite")
    assert again.exit_code == 0


def test_json_is_alone_on_stdout_and_has_null_for_no_interval(root):
    done = command(root / "one" / "run", root / "audit", "--json")
    rows = json.loads(done.stdout)
    one = next(r for r in rows if (r["run"], r["measure"]) == ("run", "margin"))
    assert one["low"] is None and one["n"] == 1 and one["unit"] == "reward units"
    assert "intervals are over" in done.stderr


@pytest.fixture
def copied(root, tmp_path):
    """A folder of an audit that may be damaged."""
    for name in ("audit.json", "summary.csv", "drift.csv"):
        (tmp_path / name).write_bytes((root / "audit" / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("audit.json", "[]", "no JSON object"),
        ("summary.csv", "", "No columns"),
        ("summary.csv", "measure,value\na,1\n", "no column 'low'"),
        ("summary.csv", "measure,value,low,high,n\na,x,1,1,1\n", "Unable to parse"),
        ("drift.csv", None, "did not end"),
    ],
)
def test_a_damaged_folder_is_named(root, copied, file, text, message):
    (copied / file).unlink()
    if text is not None:
        (copied / file).write_text(text)
    with pytest.raises(BadRun, match=message):
        compared_runs.read([copied, root / "audit"])


def test_what_is_no_run_is_refused(root, tmp_path):
    with pytest.raises(BadRun, match="none of audit.json and train.json"):
        compared_runs.read([tmp_path, root / "audit"])
    with pytest.raises(BadRun, match="no such folder"):
        compared_runs.read([tmp_path / ("x" * 300), root / "audit"])
    with pytest.raises(BadOption, match="two folders or more"):
        compared_runs.read([root / "audit"])
    with pytest.raises(BadOption, match="named twice"):
        compared_runs.read([root / "audit", root / "one" / ".." / "audit"])
    assert "goes with --out" in command(root, root, "--overwrite").output
