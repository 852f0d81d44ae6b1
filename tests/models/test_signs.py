"""A checkpoint's own ends and precision: in sampling, and in what is saved."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.models import families
from workbench.models import adapter, checkpoint
from workbench.models.network import Signs
from workbench.models.prompts import respond


@pytest.fixture(params=families.SIGNS)
def family(request):
    return request.param


@pytest.fixture
def folder(family, tmp_path):
    return families.save(family, tmp_path / "model")


def test_every_end_that_the_model_and_its_template_know_stops_a_sample(family, folder):
    """Known mistake: Gemma's samples ran to the limit, past <end_of_turn>."""
    policy, coder = checkpoint.load(folder)
    for end in policy.network.signs.ends:
        made = writes_only(policy, end)
        tokens = respond(made, [[5, 6]], 8, torch.Generator().manual_seed(0))
        assert tokens.ids[0][tokens.mask[0]].tolist() == [end]


def writes_only(policy, token: int):
    """The policy with every probability on one token."""
    policy.ban = torch.full_like(policy.ban, -1e9).index_fill(0, torch.tensor(token), 0)
    return policy


def test_an_end_of_the_generation_config_counts(tmp_path):
    folder = families.save("inst", tmp_path / "model")
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": [2, 9]}))
    policy, _ = checkpoint.load(folder)
    assert policy.network.signs.ends == (2, 9)


def test_the_configuration_is_saved_as_it_came(family, folder, tmp_path):
    """Known mistakes: [1, 4] became 1, and padding was made up."""
    policy, coder = checkpoint.load(folder)
    policy.save(tmp_path / "saved")
    coder.save_pretrained(tmp_path / "saved")
    for name in ("config.json", "generation_config.json"):
        before, after = (
            json.loads((place / name).read_text())
            for place in (folder, tmp_path / "saved")
        )
        assert after == before
    again, _ = checkpoint.load(tmp_path / "saved")
    assert again.network.signs == policy.network.signs


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_weights_are_saved_in_the_precision_they_came_in(family, tmp_path, dtype):
    folder = families.save(family, tmp_path / "model", dtype)
    policy, _ = checkpoint.load(folder)
    assert {p.dtype for p in policy.network.model.parameters()} == {torch.float32}
    policy.save(tmp_path / "saved")
    before, after = (
        load_file(place / "model.safetensors") for place in (folder, tmp_path / "saved")
    )
    assert before.keys() == after.keys()
    for name in before:
        assert after[name].dtype == dtype
        assert torch.equal(before[name], after[name])
    told = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert told["dtype"] == str(dtype).removeprefix("torch.")


def test_a_copy_and_a_stack_end_as_their_model_does(tmp_path):
    policy, _ = checkpoint.load(families.save("gemma", tmp_path / "model"))
    stack = policy.copies(2)
    assert stack.network.signs == policy.network.signs
    assert stack.member(1).network.signs == policy.network.signs


def test_an_adapter_ends_as_its_base_does(tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = families.save("gemma", tmp_path / "base", torch.bfloat16)
    model = AutoModelForCausalLM.from_pretrained(base)
    tuned = get_peft_model(
        model, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2)
    )
    tuned.save_pretrained(tmp_path / "tuned")
    path = tmp_path / "tuned" / adapter.CONFIG
    named = {"base_model_name_or_path": str(base)}
    path.write_text(json.dumps(json.loads(path.read_text()) | named))
    policy, _ = checkpoint.load(tmp_path / "tuned")
    assert policy.network.signs.ends == (1, 4)
    assert policy.network.dtype == torch.bfloat16


def test_a_configuration_may_name_one_end_several_or_none():
    class Config:
        eos_token_id, pad_token_id = 3, 0

    assert Signs.of(Config) == Signs(0, (3,))
    Config.eos_token_id = [3, 5]
    assert Signs.of(Config).ends == (3, 5)
    Config.eos_token_id = None
    assert Signs.of(Config).ends == ()
