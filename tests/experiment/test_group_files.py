"""``workbench train`` on a file of groups, in this process."""

import json
import math
import random
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from workbench import cli
from workbench.core.errors import BadOption, BadRecord, MissingInput
from workbench.experiment import training
from workbench.experiment.training import run_command
from workbench.experiment.training_settings import Settings, find

WORDS = ("very", "quite", "so", "rather", "most")
BRIEF = {"steps": 2, "every": 1, "batch_size": 8, "samples": 4, "width": 16}
BRIEF |= {"layers": 1, "reference_steps": 2, "max_length": 24, "max_new": 4}


@pytest.fixture(autouse=True)
def no_bar(monkeypatch):
    monkeypatch.setenv("WORKBENCH_PROGRESS", "0")


@pytest.fixture
def groups(tmp_path):
    """Thirty groups of three to five responses, in the form of UltraFeedback."""
    drawn, rows = random.Random(0), []
    for n in range(30):
        some = WORDS[: drawn.choice([3, 4, 5])]
        answers = [
            {"response": f"yes , {word} fun {i}", "overall_score": float(5 - i)}
            for i, word in enumerate(some)
        ]
        rows.append({"instruction": f"is film {n} good ?", "completions": answers})
    path = tmp_path / "groups.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("method", ["lipo", "dpo"])
def test_the_command_trains_on_a_file_of_groups(tmp_path, groups, method):
    """As a user calls it, with its figures."""
    short = "--steps 2 --width 16 --layers 1 --max-length 24 --batch-size 8".split()
    words = ["train", method, "--pairs", groups, "--out", tmp_path / "run", *short]
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    for note in (
        "groups.jsonl: 30 completions records, none left out",
        "30 groups of 3 to 5 responses as tokens, nothing cut",
        "pairs: the best response of a group and one drawn from those of lower score",
        "27 to train, 3 held out",
    ):
        assert note in done.output
    frame = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert frame["kl"].iloc[0] == pytest.approx(0, abs=1e-6)
    assert frame["margin"].iloc[-1] > 0 and frame["kl"].iloc[-1] > 0


def loss_of(method: str, out: Path, path: Path, **more) -> list[float]:
    """The losses of three steps on a file."""
    run_command(method, out=out, pairs=path, echo=lambda line: None, **BRIEF | more)
    return pd.read_csv(out / "metrics.csv")["loss"].tolist()


@pytest.mark.parametrize(
    "method", ["list_softmax", "infonca", "nca", "pair_logistic", "kto", "a_lol"]
)
def test_methods_on_lists_scores_and_thumbs_train_on_groups(tmp_path, groups, method):
    losses = loss_of(method, tmp_path / "run", groups)
    assert all(math.isfinite(loss) for loss in losses[1:])


def test_a_list_method_learns_from_the_scores_of_the_file(tmp_path, groups):
    """Without the scores' distances InfoNCA would not notice that they are doubled."""
    rows = [json.loads(line) for line in groups.read_text().splitlines()]
    for row in rows:
        for each in row["completions"]:
            each["overall_score"] *= 2
    doubled = tmp_path / "doubled.jsonl"
    doubled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    apart = [
        loss_of(method, tmp_path / f"{method}{n}", path)[-1]
        for method in ("infonca", "pair_logistic")
        for n, path in enumerate((groups, doubled))
    ]
    assert apart[0] != apart[1] and apart[2] == apart[3]


def test_the_rejected_response_is_an_option(tmp_path, groups):
    settings = Settings("dpo", pairs=str(groups), rejected="worst", max_length=24)
    module = find("dpo")
    problem = training.problem_of(module, settings, tmp_path, resume=False)
    (note,) = [note for note in problem.notes if note.startswith("pairs:")]
    assert note == "pairs: the best response of a group and the one of lowest score"
    chosen, rejected = problem.labels[0].scores
    groups = problem.labels[0].groups
    assert chosen.tolist() == [5.0] * len(groups)
    assert (rejected == 6 - groups.sizes).all()
    with pytest.raises(BadOption, match="--rejected is random or worst, not 'best'"):
        Settings("dpo", pairs="f.jsonl", rejected="best")


def test_a_bad_group_stops_the_command_or_is_counted(tmp_path, groups):
    bad = {"instruction": "film", "completions": [{"response": "a", "score": 1}]}
    groups.write_text(groups.read_text() + json.dumps(bad) + "\n")
    with pytest.raises(BadRecord, match="line 31: one response"):
        loss_of("lipo", tmp_path / "run", groups)
    told: list[str] = []
    run_command(
        "lipo", out=tmp_path / "run", pairs=groups, skip_bad=True, echo=told.append,
        **BRIEF,
    )  # fmt: skip
    assert "1 lines left out: 1 one response (first: line 31)" in told[0]


def test_a_method_on_lists_is_refused_on_a_file_of_pairs(tmp_path):
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row | {"id": n}) + "\n" for n in range(4)))
    with pytest.raises(MissingInput, match="gives no groups of scored responses, nor"):
        loss_of("lipo", tmp_path / "run", path)
    assert not (tmp_path / "run").exists()


def test_a_method_on_the_proposal_is_refused_before_the_file_is_read(tmp_path):
    with pytest.raises(MissingInput, match="brain needs log-probs of the policy that"):
        loss_of("brain", tmp_path / "run", tmp_path / "no-such-file.jsonl")
