"""An audit with more to read: held-out pairs, a reward model, tokens of any script."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification
from typer.testing import CliRunner

from tests.models import families
from workbench.cli import app
from workbench.experiment.audit import Settings, audit
from workbench.experiment.audit_models import Scorer
from workbench.experiment.audit_report import run_command, signs
from workbench.experiment.audit_signs import loudest, side_by_side
from workbench.feedback.records import Message

THINGS = ("cup", "coat", "hat", "door")
FEW = {"samples": 6, "max_new": 3, "max_length": 128}


def rows(things) -> str:
    made = [
        {"prompt": f"Name a colour for the {t}.", "chosen": f"The {t} is green.",
         "rejected": f"I have nothing on 漢字 and the {t}"} for t in things
    ]  # fmt: skip
    return "".join(json.dumps(row) + "\n" for row in made)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A reference, a policy, a reward model, pairs, and other pairs."""
    root = tmp_path_factory.mktemp("audit")
    coder = families.save_two("chatml", root)
    coder.save_pretrained(root / "judge")
    judge(len(coder)).save_pretrained(root / "judge")
    (root / "pairs.jsonl").write_text(rows(THINGS[:3]))
    (root / "new.jsonl").write_text(rows(THINGS[2:]))
    return root


def judge(size: int) -> LlamaForSequenceClassification:
    torch.manual_seed(2)
    shape = LlamaConfig(
        vocab_size=size, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_labels=1, pad_token_id=0,
        max_position_embeddings=200,
    )  # fmt: skip
    return LlamaForSequenceClassification(shape)


def settings(root, **more) -> Settings:
    names = [str(root / name) for name in ("reference", "policy", "pairs.jsonl")]
    paths = {k: str(root / v) for k, v in more.items()}
    return Settings(*names, **FEW | paths)


def test_the_gap_is_between_two_audits(root):
    """Held-out numbers are those of an audit of the other file alone."""
    found = audit(settings(root, held_out="new.jsonl"))
    names = [str(root / name) for name in ("reference", "policy", "new.jsonl")]
    alone = audit(Settings(*names, **FEW))
    for column in ("line", "chosen", "rejected"):
        assert found.held_out[column].tolist() == alone.pairs[column].tolist()
    row = found.gap.set_index("measure").loc["margin"]
    right = found.pairs["margin"].mean(), alone.pairs["margin"].mean()
    assert (row["training"], row["held_out"]) == pytest.approx(right)
    assert row["gap"] == pytest.approx(right[0] - right[1])
    assert any("1 of 2 held-out prompts are in --pairs" in n for n in found.notes)
    assert any(line.startswith("training less held-out") for line in signs(found))


@pytest.mark.parametrize("talk", [False, True])
def test_a_reward_is_transformers_own_of_prompt_and_answer(root, talk):
    """A conversation by the template, a text with its end; both in one batch of one."""
    scorer, coder = Scorer(str(root / "judge"), 128), families.coder("chatml")
    asked, answers = ["Say one thing", "Paint"], [" about tea.", ""]
    if talk:
        wholes = [
            coder.apply_chat_template(
                [{"role": "user", "content": p}, {"role": "assistant", "content": a}],
                tokenize=False,
            )
            for p, a in zip(asked, answers, strict=True)
        ]
        asked = [(Message("user", text),) for text in asked]
    else:
        wholes = [p + a + "<|im_end|>" for p, a in zip(asked, answers, strict=True)]
    model = judge(len(coder)).eval()
    for text, value in zip(wholes, scorer(asked, answers), strict=True):
        ids = coder(text, return_tensors="pt", add_special_tokens=False).input_ids
        assert value == pytest.approx(model(input_ids=ids).logits.item(), abs=1e-5)


def test_the_proxy_of_samples_is_a_mean_with_an_interval_over_prompts(root):
    """Six samples of three prompts: means, and the gain of each sample, by hand."""
    found = audit(settings(root, reward="judge"))
    rows = found.proxy.summary.set_index("measure")
    scorer = Scorer(str(root / "judge"), 128)
    before, after = (
        torch.tensor(scorer(found.drawn.asked, texts), dtype=torch.float64)
        for texts in (found.drawn.before, found.drawn.after)
    )
    assert rows.loc["proxy reward after", "value"] == pytest.approx(after.mean().item())
    gain = (after - before).reshape(2, 3)  # prompts 0, 1, 2, 0, 1, 2
    row = rows.loc["gain of proxy reward"]
    assert row["value"] == pytest.approx(gain.mean().item())
    sums = (gain - gain.mean()).sum(0)
    half = 4.302653 * (sums.square().sum() * 3 / 2).sqrt().item() / 6
    assert row["high"] - row["value"] == pytest.approx(half, rel=1e-5)
    assert rows.loc["accuracy of the reward model", "n"] == 3
    assert len(found.proxy.samples) == 12
    assert any("the reward model gives the samples" in line for line in signs(found))


def test_the_report_shows_gap_proxy_and_whole_letters(root, tmp_path):
    asked = settings(root, held_out="new.jsonl", reward="judge")
    folder, _ = run_command(asked, tmp_path / "out", echo=lambda line: None)
    for name in ("gap", "proxy"):
        assert json.loads((folder / f"{name}.json").read_text())["data"]
        assert len(pd.read_csv(folder / f"{name}.csv"))
    page = (folder / "report.html").read_text()
    assert page.count('<figure class="live">') == 5
    assert "Name a colour for the hat." in page and ">漢</span>" in page
    assert "\N{REPLACEMENT CHARACTER}" not in page.split("<h2>Samples")[0]
    assert len(page) < 5_000_000


def test_the_tables_as_json_are_alone_on_stdout(root, tmp_path):
    names = [str(root / name) for name in ("reference", "policy")]
    more = f"--pairs {root / 'pairs.jsonl'} --max-length 128 --samples 4 --max-new 3 "
    more += f"--held-out-pairs {root / 'new.jsonl'} --json --out {tmp_path / 'out'}"
    done = CliRunner().invoke(app, ["audit", *names, *more.split()])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert {row["measure"] for row in told["gap"]} >= {"accuracy", "margin"}
    measures = {row["measure"]: row["value"] for row in told["summary"]}
    table = pd.read_csv(tmp_path / "out" / "summary.csv").set_index("measure")
    assert measures["margin"] == pytest.approx(table.loc["margin", "value"])
    assert told["out"] == str(tmp_path / "out") and "written to" in done.stderr


def test_audits_side_by_side_are_told_as_each_alone(root):
    """The same checkpoint on the same pairs twice: no gap; without a file, no word."""
    itself = {"policy": str(root / "reference")}
    same = audit(replace(settings(root, held_out="pairs.jsonl"), **itself))
    moved = audit(settings(root))
    told = side_by_side({"same": same, "moved": moved})
    assert told.loc["accuracy", "same"] == "0.50 [0.50, 0.50]"
    assert told.loc["held out: accuracy"].tolist() == ["0.50 [0.50, 0.50]", ""]
    assert told.loc["held out: chosen fell", "same"] == "0.00 [0.00, 0.00]"
    assert told.loc["gap of accuracy"].tolist() == ["0.00 [0.00, 0.00]", ""]
    row = moved.summary.set_index("measure").loc["margin"]
    alone = f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    assert told.loc["margin", "moved"] == alone
    assert told.loc["β implied by the labels", "same"] == "unknown"
    assert told.loc["drift (nats per sequence)", "same"] == "0.00 [0.00, 0.00]"


def test_the_loudest_pieces_are_the_ends_of_the_order(root):
    found = audit(settings(root))
    told, one = loudest(found, 2), found.extremes[0]
    assert len(told) == 2 * len(found.extremes)
    words = dict(sorted(one.sides["chosen"], key=lambda piece: piece[1])[-2:])
    row = told[(told["line"] == one.line) & (told["side"] == "chosen")].iloc[0]
    assert all(f"{value:+.2f}" in row["highest"] for value in words.values())
    total = sum(value for _, value in one.sides["chosen"])
    assert row["reward"] == pytest.approx(total)
    lowest = min(one.sides["chosen"], key=lambda piece: piece[1])
    assert row["lowest"].startswith(f"{lowest[0]!r} {lowest[1]:+.2f}")
