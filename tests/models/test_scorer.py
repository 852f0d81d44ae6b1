"""Reward models on checkpoints: scores, what is trained, folders others read."""

import json

import pandas as pd
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from tests.models import families
from workbench.core.errors import BadCheckpoint, BadOption, MissingInput
from workbench.experiment.training import run_command
from workbench.feedback.records import PreferenceRecord
from workbench.models import checkpoint, encoding, scorer
from workbench.models.lora import Shape

RECORDS = [PreferenceRecord(f"{i} ", "green cup", "tea " * i) for i in (1, 2, 3)]


@pytest.fixture(params=[*families.SIGNS])
def loaded(request, tmp_path):
    """A policy with its pairs, and its tokenizer."""
    folder = families.save(request.param, tmp_path / "model")
    policy, coder = checkpoint.load(folder)
    return policy, encoding.encode_pairs(coder, RECORDS).pairs.rejected, coder


def alone(model, tokens):
    """What transformers says of each response, without padding."""
    found = []
    for ids, attended in zip(tokens.ids, tokens.attention, strict=True):
        with torch.no_grad():
            found.append(model(input_ids=ids[attended][None]).logits[0, 0])
    return torch.stack(found)


def test_scores_are_those_of_transformers_and_are_read_again(loaded, tmp_path):
    """At the last token of each response, whatever stands beside it in the batch."""
    policy, tokens, coder = loaded
    model = scorer.of_policy(policy, seed=0)
    with torch.no_grad():
        scores = model.scores(tokens)
    model.save(tmp_path / "saved")
    read = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    read.config.pad_token_id = None  # of one row the last token is the end
    torch.testing.assert_close(alone(read, tokens), scores, rtol=1e-5, atol=1e-6)
    # as an audit reads it
    coder.save_pretrained(tmp_path / "saved")
    again, _ = checkpoint.load_scorer(tmp_path / "saved")
    again.config.pad_token_id = None
    assert torch.equal(alone(again, tokens), alone(read, tokens))
    assert scores.std() > 0


def test_the_body_is_the_policys_and_the_policy_stays_as_it_is(loaded):
    policy, tokens, _ = loaded
    before = {n: p.clone() for n, p in policy.state_dict().items()}
    one, other = (scorer.of_policy(policy, seed=s) for s in (0, 1))
    body = one.network.model.base_model.state_dict()
    mine = policy.network.model.base_model.state_dict()
    assert all(torch.equal(body[name], mine[name]) for name in mine)
    heads = [m.network.model.score.weight for m in (one, other)]
    assert not torch.equal(*heads)
    one.scores(tokens).sum().backward()
    torch.optim.SGD(one.parameters(), lr=1.0).step()
    after = policy.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_of_an_adapter_the_head_is_trained_too(loaded, tmp_path):
    from peft import AutoPeftModelForSequenceClassification

    policy, tokens, _ = loaded
    model = scorer.of_policy(policy, 0, Shape(r=2, targets=("all-linear",)))
    moving = {n for n, p in model.named_parameters() if p.requires_grad}
    assert any("score" in name for name in moving)
    assert all("lora_" in name or "modules_to_save" in name for name in moving)
    whole = scorer.of_policy(policy, 0)
    with torch.no_grad():
        assert torch.equal(model.scores(tokens), whole.scores(tokens))
    optimiser = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), 0.1)
    for _ in range(2):
        model.scores(tokens).sum().backward()
        optimiser.step()
    with torch.no_grad():
        moved = model.scores(tokens)
    assert (moved - whole.scores(tokens)).abs().max() > 1e-2
    model.save(tmp_path / "saved")
    read = AutoPeftModelForSequenceClassification.from_pretrained(
        tmp_path / "saved", num_labels=1
    ).eval()
    read.get_base_model().config.pad_token_id = None
    torch.testing.assert_close(alone(read, tokens), moved, rtol=1e-5, atol=1e-5)


def test_a_folder_that_holds_no_reward_model_is_refused(tmp_path):
    families.save("chatml", tmp_path / "policy")
    with pytest.raises(BadCheckpoint, match="no reward model"):
        checkpoint.load_scorer(tmp_path / "policy")
    with pytest.raises(BadCheckpoint, match="no such folder"):
        checkpoint.load_scorer(tmp_path / "nowhere")


def test_a_family_without_a_classifier_is_refused(tmp_path, monkeypatch):
    policy, _ = checkpoint.load(families.save("bare", tmp_path / "model"))

    def none(config):
        raise ValueError("Unrecognized configuration class")

    monkeypatch.setattr(AutoModelForSequenceClassification, "from_config", none)
    with pytest.raises(BadOption, match="no sequence classifier for gpt2"):
        scorer.check(policy)


@pytest.mark.parametrize("lora", [None, "r=4,alpha=16"])
def test_the_command_trains_one_on_a_checkpoint(tmp_path, lora):
    folder = families.save("gemma", tmp_path / "model")
    rows = [{"prompt": f"Name {i}", "chosen": "green cup", "rejected": "tea a tea"}
            for i in range(12)]  # fmt: skip
    pairs = tmp_path / "rows.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    usual = {"max_length": 64, "batch_size": 4, "steps": 12, "lr": 3e-3}
    out = run_command(
        "bt", pairs=pairs, model=folder, out=tmp_path / "out", lora=lora,
        micro_batch=3, checkpointing=True, echo=lambda line: None, **usual,
    )  # fmt: skip
    metrics = pd.read_csv(out / "metrics.csv")
    assert metrics["accuracy"].iloc[-1] == 1
    assert metrics["nll"].iloc[-1] < 0.3 < metrics["nll"].iloc[0]
    saved = {path.name for path in (out / "seed-0" / "policy").iterdir()}
    wanted = "model.safetensors" if lora is None else "adapter_model.safetensors"
    assert {wanted, "tokenizer.json"} <= saved


@pytest.mark.parametrize("method", ["rm_ensemble", "vpl", "ilql"])
def test_what_builds_a_model_of_its_own_takes_no_checkpoint(tmp_path, method):
    pairs = tmp_path / "rows.jsonl"
    pairs.write_text("{}\n")
    with pytest.raises(MissingInput, match=f"{method} .*"):
        run_command(method, pairs=pairs, model=tmp_path, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
