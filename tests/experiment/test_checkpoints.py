"""Checkpoints that a preference file does not fit are refused before training."""

import json

import pytest

from tests.experiment.common import FILE, contents, pairs_file, run
from workbench.core.errors import BadCheckpoint, BadOption, BadRecord, WorkbenchError
from workbench.feedback import files
from workbench.feedback.records import Message, PreferenceRecord
from workbench.models import tokenizer


def checkpoint(folder, family: str, positions: int, template: str | None = None):
    """A model of a family with random weights, and a byte tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    coder = tokenizer.build(["a"], "byte")
    sizes = {
        "gpt2": {"n_positions": positions, "n_embd": 16, "n_layer": 1, "n_head": 2},
        "llama": {
            "max_position_embeddings": positions, "hidden_size": 16,
            "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        },
        "opt": {
            "max_position_embeddings": positions, "hidden_size": 16, "ffn_dim": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "word_embed_proj_dim": 16,
        },
    }  # fmt: skip
    ends = {"bos_token_id": coder.bos_token_id, "eos_token_id": coder.eos_token_id}
    ends["pad_token_id"] = coder.pad_token_id
    config = AutoConfig.for_model(
        family, vocab_size=len(coder), **ends, **sizes[family]
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    if template is not None:
        coder.chat_template = template
    coder.save_pretrained(folder)
    return folder


@pytest.fixture
def pairs(tmp_path):
    return pairs_file(tmp_path / "p.jsonl", ["is it good ?", "was it bad ?", "so ?"])


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt"])
@pytest.mark.parametrize(
    ("positions", "length", "new", "error", "message"),
    [
        (12, 24, 4, BadOption, "12 positions, .* up to 28 tokens.*--max-length 8 fits"),
        (64, 61, 4, BadOption, "64 positions, .* 65 tokens: --max-length 61 and 4 of"),
        (32, 512, 4, BadOption, "32 positions, .* up to 516 tokens.*-length 28 fits"),
        (12, 8, 64, BadCheckpoint, "12 positions, .* up to 72 tokens"),
        (8, 4, 5, BadCheckpoint, "8 positions, .* up to 9 tokens"),
    ],
)
def test_sequences_beyond_the_positions_of_a_model_are_refused_with_both_numbers(
    tmp_path, pairs, family, positions, length, new, error, message
):
    model = checkpoint(tmp_path / "m", family, positions)
    asked = FILE | {"max_length": length, "max_new": new}
    with pytest.raises(error, match=message):
        run("dpo", tmp_path / "o", pairs=pairs, model=model, **asked)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("family", ["gpt2", "opt"])
def test_sequences_that_just_fit_are_trained_on(tmp_path, pairs, family):
    model = checkpoint(tmp_path / "m", family, 20)
    asked = FILE | {"max_length": 16, "max_new": 4, "steps": 1}
    run("dpo", tmp_path / "o", pairs=pairs, model=model, **asked)
    assert "metrics.csv" in contents(tmp_path / "o")


STRICT = """{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}"""


def conversations(path, turns: list[tuple[str, ...]]):
    """A file of conversations with these roles in their prompts."""
    records = [
        PreferenceRecord(
            tuple(Message(role, f"{i}?") for role in roles),
            (Message("assistant", f"yes {i}"),),
            (Message("assistant", f"no {i}"),),
        )
        for i, roles in enumerate(turns)
    ]
    return files.write(path, records)


@pytest.mark.parametrize(
    "bad", [("system", "user"), ("system", "user", "assistant", "user")]
)
def test_a_conversation_that_the_template_refuses_has_its_line_or_is_skipped(
    tmp_path, bad
):
    model = checkpoint(tmp_path / "m", "llama", 64, STRICT)
    pairs = conversations(tmp_path / "c.jsonl", [("user",), ("user",), bad, ("user",)])
    with pytest.raises(BadRecord, match="line 3: chat template: .*must alternate"):
        run("dpo", tmp_path / "o", pairs=pairs, model=model, **FILE)
    assert not (tmp_path / "o").exists()
    asked = FILE | {"steps": 1, "skip_bad": True}
    lines = run("dpo", tmp_path / "o", pairs=pairs, model=model, **asked)
    (told,) = [line for line in lines if "must alternate" in line]
    assert told.startswith("3 pairs as tokens") and "line 3" in told


@pytest.mark.parametrize(
    "template", ["{% for %}", "{{ nothing.of.it }}", "{{ 1 / 0 }}"]
)
def test_a_template_that_fails_is_a_bad_checkpoint(tmp_path, template):
    model = checkpoint(tmp_path / "m", "llama", 64)
    path = model / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"chat_template": template}
    path.write_text(json.dumps(config))
    for other in model.glob("chat_template*"):
        other.unlink()
    pairs = conversations(tmp_path / "c.jsonl", [("user",), ("user",)])
    with pytest.raises(WorkbenchError, match="chat template"):
        run("dpo", tmp_path / "o", pairs=pairs, model=model, **FILE)
    assert not (tmp_path / "o").exists()
