"""LoRA adapters are merged into their base, or refused in one sentence."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench.core.errors import BadCheckpoint
from workbench.models import checkpoint, tiny, tokenizer

TEXTS = ["the film is good .", "the plot , not so good", "the cast is dull"]
CODER = tokenizer.build(TEXTS, "word")
IDS = torch.tensor([[3, 4, 5, 6, 7]])
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def folders(tmp_path):
    """A base model, and an adapter whose change is not zero."""
    from peft import LoraConfig, get_peft_model

    base = tmp_path / "base"
    tiny.decoder(tokenizer.vocab_of(CODER), width=16, layers=2).save(base)
    CODER.save_pretrained(base)
    model = checkpoint.load(base)[0].network.model
    wanted = LoraConfig(target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(model, wanted)
    torch.manual_seed(0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    with torch.no_grad():
        logits = adapted(input_ids=IDS).logits
    adapted.save_pretrained(tmp_path / "adapter")
    configure(tmp_path / "adapter", base_model_name_or_path=str(base))
    return base, tmp_path / "adapter", logits


def configure(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def logits_of(folder):
    with torch.no_grad():
        return checkpoint.load(folder)[0].network.model(input_ids=IDS).logits


def test_a_merged_adapter_gives_the_logits_that_it_gave_unmerged(folders):
    base, adapter, expected = folders
    torch.testing.assert_close(logits_of(adapter), expected, atol=1e-5, rtol=0)
    assert (logits_of(base) - expected).abs().max() > 1e-2, "the adapter does nothing"


def test_a_base_is_found_from_the_adapters_own_folder(folders):
    _, adapter, expected = folders
    configure(adapter, base_model_name_or_path="../base")
    torch.testing.assert_close(logits_of(adapter), expected, atol=1e-5, rtol=0)


def test_what_is_saved_afterwards_is_a_plain_model(folders, tmp_path):
    _, adapter, expected = folders
    policy, coder = checkpoint.load(adapter)
    policy.save(tmp_path / "saved")
    coder.save_pretrained(tmp_path / "saved")
    torch.testing.assert_close(
        logits_of(tmp_path / "saved"), expected, atol=1e-5, rtol=0
    )


def refused(folder) -> BadCheckpoint:
    with pytest.raises(BadCheckpoint) as caught:
        checkpoint.load(folder)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", ["gpt2", "me/my-model", "", None, "/nowhere/at/all"])
def test_a_base_that_is_no_local_folder_is_refused(folders, name):
    configure(folders[1], base_model_name_or_path=name)
    assert refused(folders[1]).reason == "base model not found"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", "[" * 100_000])
def test_a_malformed_configuration_is_refused(folders, text):
    (folders[1] / "adapter_config.json").write_text(text)
    assert refused(folders[1]).reason == "malformed adapter"


@pytest.mark.parametrize("changes", [{"peft_type": "NOSUCH"}, {"r": -3}, {"r": "x"}])
def test_a_configuration_that_peft_cannot_use_is_refused(folders, changes):
    configure(folders[1], **changes)
    refused(folders[1])


def test_a_pickled_adapter_is_refused(folders):
    adapter = folders[1]
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    assert refused(adapter).reason == "no safetensors"


def _without_one(weights):
    return dict(list(weights.items())[1:])


def _with_one_more(weights):
    return weights | {"base_model.model.nothing.lora_A.weight": torch.ones(2, 2)}


def _other_shapes(weights):
    return {name: torch.ones(3, 5) for name in weights}


@pytest.mark.parametrize("change", [_without_one, _with_one_more, _other_shapes])
def test_weights_of_another_model_are_refused(folders, change):
    path = folders[1] / WEIGHTS
    save_file(change(load_file(path)), path)
    refused(folders[1])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folders, value):
    path = folders[1] / WEIGHTS
    weights = load_file(path)
    next(iter(weights.values()))[0, 0] = value
    save_file(weights, path)
    assert refused(folders[1]).reason == "weights not finite"


def test_an_adapter_beside_a_model_is_refused(folders):
    base, adapter, _ = folders
    shutil.copy(base / "model.safetensors", adapter)
    assert refused(adapter).reason == "holds an adapter and a model"


def test_a_configuration_beside_an_adapter_is_no_model(folders):
    """Axolotl writes the base's config.json and tokenizer into an adapter's folder."""
    base, adapter, expected = folders
    shutil.copy(base / "config.json", adapter)
    torch.testing.assert_close(logits_of(adapter), expected, atol=1e-5, rtol=0)


def test_a_base_that_is_given_goes_before_the_one_that_is_named(folders, tmp_path):
    base, adapter, expected = folders
    configure(adapter, base_model_name_or_path="someone/their-model")
    assert refused(adapter).reason == "base model not found"
    with torch.no_grad():
        network = checkpoint.load(adapter, base)[0].network
        torch.testing.assert_close(
            network.model(input_ids=IDS).logits, expected, atol=1e-5, rtol=0
        )
    configure(adapter, auto_mapping={"base_model_class": "x", "parent_library": "y"})
    with pytest.raises(BadCheckpoint, match="names code"):
        checkpoint.load(adapter, base)


def test_a_tokenizer_beside_an_adapter_is_the_one_it_was_trained_with(folders):
    base, adapter, _ = folders
    own = tokenizer.build(TEXTS, "word")
    own.chat_template = "{{ messages[0].content }}"
    own.save_pretrained(adapter)
    assert checkpoint.load(adapter, base)[1].chat_template == own.chat_template
    assert checkpoint.load(adapter)[1].chat_template != own.chat_template


def test_a_damaged_base_is_named(folders):
    base, adapter, _ = folders
    (base / "config.json").unlink()
    assert str(base) in str(refused(adapter))


def test_an_adapter_that_names_code_is_refused(folders):
    configure(folders[1], auto_mapping={"base_model_class": "x", "parent_library": "y"})
    assert refused(folders[1]).reason == "needs remote code"
