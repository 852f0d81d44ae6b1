"""Runs on a checkpoint and a preference file: notes, measures and what is saved."""

import json

import pandas as pd
import pytest

from tests.models import families
from workbench.core.errors import BadOption, MissingInput
from workbench.experiment.training import run_command
from workbench.models import checkpoint

THINGS = ("cup", "coat", "door", "hat", "boat", "book", "tree", "lamp")
TEXTS = [
    {"prompt": f"Name a colour for the {t}.", "chosen": f"The {t} is green.",
     "rejected": f"Paint the {t}!"} for t in THINGS
]  # fmt: skip
TALKS = [
    {k: [{"role": "user" if k == "prompt" else "assistant", "content": v}]
     for k, v in row.items()} for row in TEXTS
]  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A checkpoint of each family."""
    root = tmp_path_factory.mktemp("models")
    return {family: families.save(family, root / family) for family in families.SIGNS}


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(tmp_path, rows, model, method="dpo", **more):
    """The notes of a run of two steps, its folder and its metrics."""
    said: list[str] = []
    usual = {"steps": 2, "max_length": 128, "samples": 4, "max_new": 3, "batch_size": 4}
    out = run_command(
        method, pairs=lines(tmp_path / "rows.jsonl", rows), model=model,
        out=tmp_path / "out", echo=said.append, **usual | more,
    )  # fmt: skip
    return said, out, pd.read_csv(out / "metrics.csv")


def test_the_end_of_turn_is_learned_measured_and_saved(models, tmp_path):
    said, out, metrics = run(tmp_path, TALKS, models["gemma"], show=1)
    shown = [line for line in said if line.startswith("line 1, chosen")]
    assert "⟦<start_of_turn>⟧model↵" in shown[0]
    assert shown[0].endswith("The cup is green.⟦<end_of_turn>⟧↵")
    saved = out / "seed-0" / "policy"
    assert json.loads((saved / "config.json").read_text())["eos_token_id"] == [1, 4]
    assert checkpoint.load(saved)[0].network.signs.ends == (1, 4)


def test_samples_that_were_cut_are_told_beside_the_kl(models, tmp_path):
    said, _, metrics = run(tmp_path, TEXTS, models["chatml"])
    last = metrics.iloc[-1]
    assert 0.5 < last["cut"] <= 1  # an untrained model does not end in 3 tokens
    (line,) = [line for line in said if "nats from the reference" in line]
    assert f"{last['cut']:.0%} of the samples were cut at 3 tokens" in line
    assert "at least as large" in line


def test_an_interval_of_a_kl_has_as_many_draws_as_prompts(models, tmp_path):
    _, _, metrics = run(tmp_path, TEXTS, models["chatml"], held_out=1, samples=8)
    assert metrics["kl"].notna().all() and metrics["kl_stderr"].isna().all()


def test_no_kl_is_said_to_be_below_zero(models, tmp_path):
    _, _, metrics = run(tmp_path, TEXTS, models["inst"], held_out=3, samples=8)
    assert (metrics["kl_low"] >= 0).all()
    assert (metrics["kl_high"] >= metrics["kl"]).all()


@pytest.mark.parametrize("method", ["kto", "bco", "sft"])
@pytest.mark.parametrize("held_out", [1, 3])
def test_thumbs_train_what_can_learn_from_them(models, tmp_path, method, held_out):
    """One held-out thumb alone has no margin; that is no divergence."""
    thumbs = [
        {"prompt": row["prompt"], "completion": row["chosen" if i % 2 else "rejected"],
         "label": i % 2} for i, row in enumerate(TEXTS)
    ]  # fmt: skip
    _, _, metrics = run(tmp_path, thumbs, models["chatml"], method, held_out=held_out)
    assert metrics["loss"].iloc[-1] == metrics["loss"].iloc[-1]


def test_what_nothing_reads_is_named(models, tmp_path):
    extra = {"margin": 0.5, "source": "x", "score_chosen": 3, "score_rejected": 1}
    rows = [row | extra for row in TALKS]
    rows[0]["chosen"][0]["weight"] = 2
    rows += [rows[1] | {"chosen": rows[1]["rejected"], "rejected": rows[1]["chosen"]}]
    said, _, _ = run(tmp_path, rows, models["chatml"])
    told = "\n".join(said)
    assert "unused columns: margin, score_chosen, score_rejected, source" in told
    assert "message fields that the chat template does not write: weight" in told
    assert "2 of 9 pairs contradict others" in told


def test_a_template_that_is_lent_is_told_and_saved(models, tmp_path):
    said, out, _ = run(tmp_path, TALKS, models["bare"])
    assert any("the checkpoint has no chat template" in line for line in said)
    _, coder = checkpoint.load(out / "seed-0" / "policy")
    talk = [{"role": "user", "content": "Hi"}]
    assert coder.apply_chat_template(talk, tokenize=False) == "\n\nHuman: Hi"


def test_columns_and_special_tokens_come_from_the_command(models, tmp_path):
    rows = [
        {"ask": f"<|im_start|>user\n{r['prompt']}<|im_end|>\n", "yes": r["chosen"],
         "no": r["rejected"]} for r in TEXTS
    ]  # fmt: skip
    names = {"prompt": "ask", "chosen": "yes", "rejected": "no"}
    said, _, _ = run(
        tmp_path, rows, models["chatml"], columns=names, special_tokens="no"
    )
    (line,) = [line for line in said if "special tokens" in line]
    assert "8 of 8 rows" in line and "read as characters" in line


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"special_tokens": "maybe"}, "--special-tokens is yes or no"),
        ({"columns": {"promt": "x"}}, "no 'promt'.*prompt"),
        ({"held_out": 8}, "leaves none of 8 pairs"),
        ({"pairs": "a.xlsx"}, "unknown extension"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_work(
    models, tmp_path, more, message
):
    pairs = more.pop("pairs", lines(tmp_path / "rows.jsonl", TEXTS))
    kinds = (BadOption, MissingInput, Exception)
    with pytest.raises(kinds, match=message):
        run_command("dpo", pairs=pairs, model=models["chatml"], max_length=128,
                    out=tmp_path / "out", **more)  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_an_adapter_is_trained_from_the_command_and_audited(models, tmp_path):
    said, out, metrics = run(
        tmp_path, TALKS, models["gemma"], lora="r=2,alpha=8", lr=1e-2, steps=4
    )
    assert any(line.startswith("LoRA: ") for line in said)
    assert metrics["kl"].iloc[0] == 0 < metrics["kl"].iloc[-1]
    saved = out / "seed-0" / "policy"
    assert (saved / "adapter_model.safetensors").exists()
    policy, _ = checkpoint.load(saved)
    assert policy.network.signs.ends == (1, 4)


def test_an_adapter_needs_a_model(tmp_path):
    with pytest.raises(BadOption, match="--lora goes with --model"):
        run(tmp_path, TEXTS, None, lora="r=2")
