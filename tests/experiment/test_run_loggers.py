"""Measures under the field's names, to programs that stand in for the real ones.

Neither TensorBoard nor wandb is installed for the tests: what they are called with is
what counts.
"""

import importlib.machinery
import json
import sys
from types import ModuleType

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.experiment.common import TINY, contents
from tests.experiment.common import run as train
from tests.models import families
from workbench.cli import app
from workbench.core.errors import BadOption, MissingInput
from workbench.experiment import run_loggers
from workbench.feedback import files
from workbench.measure import pair_audit
from workbench.models import checkpoint, encoding

THINGS = ("cup", "coat", "hat", "door")
SHORT = {"steps": 2, "every": 1, "batch_size": 2, "samples": 2, "max_new": 2}


def module(monkeypatch, name: str, **content) -> None:
    """A module of this name that can be found and imported."""
    made = ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(made).update(content)
    monkeypatch.setitem(sys.modules, name, made)


class Board:
    """As torch.utils.tensorboard's SummaryWriter."""

    def __init__(self, folder):
        self.folder, self.logged, self.closed = folder, {}, False
        BOARDS.append(self)

    def add_scalar(self, name, value, step):
        self.logged.setdefault(name, {})[step] = value

    def flush(self):
        pass

    def close(self):
        self.closed = True


BOARDS: list[Board] = []


@pytest.fixture
def boards(monkeypatch):
    """What TensorBoard was told, a writer per run."""
    BOARDS.clear()
    module(monkeypatch, "tensorboard")
    module(monkeypatch, "torch.utils.tensorboard", SummaryWriter=Board)
    return BOARDS


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A checkpoint, pairs, and pairs to evaluate on."""
    root = tmp_path_factory.mktemp("logged")
    families.save("chatml", root / "model")
    rows = [
        {"prompt": f"Name a colour for the {t}.", "chosen": f"The {t} is green.",
         "rejected": f"I have nothing on the {t}"} for t in THINGS
    ]  # fmt: skip
    for name, some in {"pairs": rows[:2], "eval": rows[2:], "both": rows[1:3]}.items():
        lines = "".join(json.dumps(row) + "\n" for row in some)
        (root / f"{name}.jsonl").write_text(lines)
    thumb = {"prompt": "p", "completion": "c", "label": True}
    lines = [json.dumps(thumb | {"label": label}) + "\n" for label in (True, False)]
    (root / "thumbs.jsonl").write_text("".join(lines))
    return root


def asked(root, **more) -> dict:
    return SHORT | {
        "pairs": root / "pairs.jsonl", "model": root / "model", "lr": 1e-3,
        "max_length": 128, "eval_pairs": str(root / "eval.jsonl"),
    } | more  # fmt: skip


def test_names_and_values_are_those_of_an_audit_of_the_saved_policy(
    root, boards, tmp_path
):
    """Of the evaluation file's pairs, at the last step, by transformers' weights."""
    told = train("dpo", tmp_path / "out", log="tensorboard", **asked(root))
    assert "2 to train, 2 of eval.jsonl held out" in told
    (board,) = boards
    assert board.closed
    assert board.folder == str(tmp_path / "out" / "seed-0" / "logs")
    policy, coder = checkpoint.load(tmp_path / "out" / "seed-0" / "policy")
    reference, _ = checkpoint.load(root / "model")
    for prefix, name in (("eval_", "eval"), ("", "pairs")):
        records = files.read(root / f"{name}.jsonl").records
        pairs = encoding.encode_pairs(coder, records, 128).pairs
        frame = pair_audit.rewards(policy, reference, pairs, 0.1)
        right = {
            "rewards/chosen": frame["chosen"], "rewards/rejected": frame["rejected"],
            "rewards/margins": frame["margin"], "logps/chosen": frame["chosen_logp"],
            "rewards/accuracies": (frame["margin"] > 0).astype(float),
            "logps/rejected": frame["rejected_logp"],
        }  # fmt: skip
        for key, values in right.items():
            logged = board.logged[prefix + key][2]
            assert logged == pytest.approx(values.mean(), abs=1e-4), prefix + key
    assert board.logged["rewards/chosen"][0] == 0.0  # the policy is the reference yet
    assert abs(board.logged["rewards/margins"][2]) > 1e-3
    assert board.logged["loss"].keys() == {1, 2}


def test_the_csv_is_the_same_and_a_resumed_run_may_log(root, boards, tmp_path):
    train("dpo", tmp_path / "plain", **asked(root))
    train("dpo", tmp_path / "logged", log="tensorboard", **asked(root))
    plain, logged = (contents(tmp_path / name) for name in ("plain", "logged"))
    assert plain["metrics.csv"] == logged["metrics.csv"]
    assert plain["train.json"] == logged["train.json"]
    frame = pd.read_csv(tmp_path / "plain" / "metrics.csv").set_index("step")
    curve = boards[0].logged["eval_rewards/margins"]
    assert curve == pytest.approx(frame["margin"].to_dict(), abs=1e-6)
    train("dpo", tmp_path / "plain", log="tensorboard", resume=True, **asked(root))


@pytest.mark.parametrize(("method", "pairwise"), [("bt", False), ("rloo", True)])
def test_what_trains_otherwise_logs_what_it_measures(
    boards, tmp_path, method, pairwise
):
    train(method, tmp_path, log="tensorboard", **TINY)
    logged = boards[0].logged
    assert logged["eval_rewards/accuracies"].keys() == {0, 1, 2}
    assert ("logps/chosen" in logged) is pairwise


def test_wandb_gets_a_run_with_its_name_and_settings(root, monkeypatch, tmp_path):
    calls = []

    class Started:
        def log(self, values, step):
            calls.append((step, values))

        def finish(self):
            calls.append("finished")

    def init(**how):
        calls.append(how)
        return Started()

    module(monkeypatch, "wandb", init=init)
    train("dpo", tmp_path / "out", log="wandb", **asked(root))
    start, *steps, end = calls
    assert start["dir"] == str(tmp_path / "out" / "seed-0" / "logs")
    assert start["name"] == "dpo on pairs.jsonl, seed 0"
    assert start["config"]["method"] == "dpo" and end == "finished"
    assert [step for step, _ in steps] == [0, 1, 2]
    assert {"loss", "logps/rejected", "eval_rewards/chosen"} <= steps[-1][1].keys()


def test_a_missing_package_is_one_sentence_before_any_work(root, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    words = ["train", "dpo", "--pairs", root / "pairs.jsonl", "--log", "wandb"]
    done = CliRunner().invoke(app, [*map(str, words), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    told = "--log wandb needs the package wandb: pip install wandb"
    assert done.output.strip() == told
    assert not (tmp_path / "out").exists()


def test_a_program_that_cannot_begin_is_one_sentence(root, monkeypatch, tmp_path):
    def init(**how):
        raise RuntimeError("api_key not configured\n  Traceback …")

    module(monkeypatch, "wandb", init=init)
    told = "^--log wandb cannot begin: api_key not configured$"
    with pytest.raises(BadOption, match=told):
        train("dpo", tmp_path / "out", log="wandb", **asked(root))

    def broken(name):
        raise ImportError("no module inside", name="inside")

    monkeypatch.setattr(run_loggers, "import_module", broken)
    with pytest.raises(BadOption, match="--log wandb cannot be used: no module inside"):
        run_loggers.check("wandb")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"log": "mlflow"}, BadOption, "--log is tensorboard or wandb, not 'mlflow'"),
        ({"held_out": 1}, BadOption, "takes the place of --held-out"),
        ({"eval_pairs": "thumbs.jsonl"}, MissingInput, "holds responses, --pairs pair"),
        ({"eval_pairs": "none.jsonl"}, ValueError, "no such file"),
        ({"eval_pairs": "model.exe"}, ValueError, "model.exe"),
    ],
)
def test_what_cannot_be_logged_or_measured_on_is_refused(
    root, tmp_path, change, error, message
):
    if "eval_pairs" in change:
        change["eval_pairs"] = str(root / change["eval_pairs"])
    with pytest.raises(error, match=message):
        train("dpo", tmp_path / "out", **asked(root) | change)
    assert not (tmp_path / "out").exists()


def test_eval_pairs_go_with_pairs(tmp_path):
    with pytest.raises(BadOption, match="--eval-pairs goes with --pairs"):
        train("dpo", tmp_path, eval_pairs="x.jsonl", **TINY)


def test_prompts_on_both_sides_are_told(root, tmp_path):
    more = asked(root, eval_pairs=str(root / "both.jsonl"))
    told = train("dpo", tmp_path / "out", **more)
    assert any("1 of 2 prompts of both.jsonl are in --pairs, too" in t for t in told)
