"""An audit: numbers that are known, refusals, and a page on which nothing runs."""

import json
import re

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from tests.models import families
from workbench.cli import app
from workbench.core.errors import (
    BadCheckpoint,
    BadFile,
    BadOption,
    BadRun,
    MissingInput,
)
from workbench.experiment.audit import Settings, audit
from workbench.experiment.audit_models import Loaded
from workbench.experiment.audit_report import run_command, signs
from workbench.experiment.audit_samples import Drawn
from workbench.models import checkpoint

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
TEXTS = [
    {"prompt": f"Name a colour for the {thing}.", "chosen": f"The {thing} is green.",
     "rejected": f"Paint the {thing}! {EVIL}"} for thing in ("cup", "coat", "hat")
]  # fmt: skip
FEW = {"samples": 4, "max_new": 3, "max_length": 128}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A reference, the same with other weights, another family, and files."""
    root = tmp_path_factory.mktemp("audit")
    families.save_two("inst", root)
    families.save("chatml", root / "chatml")
    lines = "".join(json.dumps(row) + "\n" for row in TEXTS)
    (root / "pairs.jsonl").write_text(lines)
    thumb = {"prompt": "p", "completion": "c", "label": True}
    (root / "thumbs.jsonl").write_text(json.dumps(thumb) + "\n")
    return root


def settings(root, policy="policy", pairs="pairs.jsonl", **more) -> Settings:
    names = [str(root / name) for name in ("reference", policy, pairs)]
    for option in {"held_out", "reward"} & more.keys():
        more[option] = str(root / more[option])
    return Settings(*names, **FEW | more)


def value(found, measure):
    return found.summary.set_index("measure").loc[measure, "value"]


def test_a_checkpoint_audited_against_itself_shows_nothing(root):
    found = audit(settings(root, "reference"))
    assert value(found, "accuracy") == 0.5 and value(found, "margin") == 0
    drawn = found.drawn
    assert drawn.drift["mean"].abs().max() == pytest.approx(0, abs=1e-12)
    assert drawn.before == drawn.after
    assert torch.equal(*drawn.lengths)
    assert any("accuracy 0.50" in line for line in signs(found))


def test_a_drift_is_that_of_the_policys_own_samples(root):
    """Rao–Blackwell against a sum over the whole vocabulary at every sampled prefix."""
    found = audit(settings(root, samples=200, max_new=1))
    first = found.drawn.drift.set_index("estimator").loc["rao-blackwell"]
    reference, coder = checkpoint.load(root / "reference")
    policy, _ = checkpoint.load(root / "policy")
    total = 0.0
    for row in TEXTS:
        ids = coder(row["prompt"], return_tensors="pt").input_ids
        new, old = (
            one.network.model(input_ids=ids).logits[0, -1].double().log_softmax(-1)
            for one in (policy, reference)
        )
        total += (new.exp() * (new - old)).sum().item() / len(TEXTS)
    # 200 samples of 3 prompts: 67, 67 and 66
    assert first["mean"] == pytest.approx(total, rel=0.01)
    assert first["mean"] > 1e-4


def test_beta_scales_rewards_and_not_what_the_labels_imply(root):
    one, two = (audit(settings(root, beta=beta)) for beta in (0.1, 0.3))
    ratio = two.pairs["margin"] / one.pairs["margin"]
    assert ratio.tolist() == pytest.approx([3] * 3)
    name = "β implied by the labels"
    assert value(one, name) == pytest.approx(value(two, name), rel=1e-6)


def test_the_folder_has_tables_figures_and_a_page_on_which_nothing_runs(root, tmp_path):
    run_command(settings(root), tmp_path / "out", echo=lambda line: None)
    pairs = pd.read_csv(tmp_path / "out" / "pairs.csv")
    assert pairs["line"].tolist() == [1, 2, 3]
    assert (pairs["margin"] - (pairs["chosen"] - pairs["rejected"])).abs().max() < 1e-12
    page = (tmp_path / "out" / "report.html").read_text()
    assert len(page) < 5_000_000
    # what a response says is text, a token at a time, and stands nowhere as markup
    assert not re.search(r"<(link|iframe|object)|\son\w+=|src=\"(?!data:)", page)
    assert "&lt;" in page and "data:image/png" in page
    with pytest.raises(BadRun):
        run_command(settings(root), tmp_path / "out")
    run_command(
        settings(root), tmp_path / "out", overwrite=True, echo=lambda line: None
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"policy": "chatml"}, BadCheckpoint, "tokenizer is not that of"),
        ({"pairs": "thumbs.jsonl"}, MissingInput, "thumbs"),
        ({"max_length": 300}, BadOption, "256 positions"),
        ({"beta": 0.0}, BadOption, "--beta is positive"),
        ({"special_tokens": "maybe"}, BadOption, "--special-tokens is yes or no"),
        ({"columns": {"promt": "x"}}, BadOption, "no 'promt'"),
        ({"samples": 1}, BadOption, "--samples is at least 2"),
        ({"policy": "nowhere"}, BadCheckpoint, "no such folder"),
        ({"policy": "pairs.jsonl"}, BadCheckpoint, "it is a file"),
        ({"held_out": "thumbs.jsonl"}, MissingInput, "thumbs"),
        ({"held_out": "policy"}, BadFile, "no data set"),
        ({"reward": "nowhere"}, BadCheckpoint, "no such folder"),
        ({"reward": "reference"}, BadCheckpoint, "one label is a reward"),
    ],
)
def test_what_cannot_be_audited_is_refused(root, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        run_command(settings(root, **change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_adapter_is_audited_as_its_merged_model(root, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(root / "reference")
    shape = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2)
    tuned = get_peft_model(model, shape)
    torch.manual_seed(0)
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights)
    tuned.save_pretrained(tmp_path / "adapter")
    merged = tuned.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    checkpoint.load(root / "reference")[1].save_pretrained(tmp_path / "merged")
    names = str(root / "reference"), str(root / "pairs.jsonl")
    one, two = (
        audit(Settings(names[0], str(tmp_path / kind), names[1], **FEW))
        for kind in ("adapter", "merged")
    )
    columns = ["chosen", "rejected"]
    assert one.pairs[columns].abs().to_numpy().min() > 1e-4
    assert (one.pairs[columns] - two.pairs[columns]).abs().to_numpy().max() < 1e-5


def test_the_command_says_what_it_found(root, tmp_path):
    names = [str(root / name) for name in ("reference", "policy")]
    more = f"--pairs {root / 'pairs.jsonl'} --max-length 128 --samples 4 --max-new 3"
    made = CliRunner().invoke(
        app, ["audit", *names, *more.split(), "--out", str(tmp_path / "out")]
    )
    assert made.exit_code == 0
    assert "accuracy" in made.output and "drift" in made.output
    again = CliRunner().invoke(
        app, ["audit", *names, *more.split(), "--out", str(tmp_path / "out")]
    )
    assert again.exit_code != 0


def test_before_is_the_reference_and_the_drift_is_of_the_policys_samples(root):
    """A policy that ends at once: KL = −log π_ref(end), and "after" says nothing.

    Samples of the reference would give k1 of about −1e9; sides exchanged other lengths.
    """
    reference, coder = checkpoint.load(root / "reference")
    policy, _ = checkpoint.load(root / "reference")
    end = coder.eos_token_id
    policy.ban = torch.full_like(policy.ban, -1e9).index_fill(0, torch.tensor(end), 0)
    known = [coder("Name a colour.").input_ids]
    both = Loaded(reference, policy, coder, [])
    drawn = Drawn.of(settings(root), both, [("Name a colour.", known[0])])
    logits = reference.network.model(input_ids=torch.tensor(known)).logits[0, -1]
    right = -logits.log_softmax(-1)[end].item()
    assert drawn.drift.set_index("estimator")["mean"]["k1"] == pytest.approx(
        right, rel=1e-4
    )
    assert (drawn.lengths[1].tolist(), drawn.cut) == ([1.0] * 4, 0.0)
    assert drawn.lengths[0].min() > 1
    assert drawn.shown["after"][0] == "" != drawn.shown["before"][0]
