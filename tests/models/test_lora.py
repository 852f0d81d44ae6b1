"""LoRA: the reference is the model with its adapter off, and only the adapter moves."""

import json

import pytest
import torch

from tests.models import families
from workbench.core.errors import BadOption
from workbench.feedback.records import PreferenceRecord
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.models import checkpoint, encoding, lora
from workbench.models.lora import Lora, Shape, parse

RECORDS = [PreferenceRecord(f"{i} ", "green cup", "tea " * i) for i in (1, 2, 3)]
SHAPE = Shape(r=2, alpha=8, targets=("all-linear",))


@pytest.fixture(params=families.FAMILIES)
def folder(request, tmp_path):
    return families.save(request.param, tmp_path / "model")


def trained(folder, steps=5, seed=0):
    """A run of DPO with an adapter: its Lora, its policy and its pairs."""
    base, coder = checkpoint.load(folder)
    pairs = encoding.encode_pairs(coder, RECORDS).pairs
    adapted = Lora(base, SHAPE)
    policy = adapted.start(seed)
    if steps:
        offline.fit(
            policy, adapted.reference, pairs, dpo, dpo.Config(beta=0.1), steps=steps,
            batch_size=3, lr=1e-2,
        )  # fmt: skip
    return adapted, policy, pairs


def test_a_fresh_adapter_changes_nothing(folder):
    _, policy, pairs = trained(folder, steps=0)
    whole, _ = checkpoint.load(folder)
    with torch.no_grad():
        gap = policy.token_logps(pairs.chosen) - whole.token_logps(pairs.chosen)
    assert gap.abs().max() == 0


def test_the_reference_is_a_copy_of_the_untouched_model(folder):
    """To 1e-6, after training: Known mistake: the reference moves with the policy."""
    adapted, policy, pairs = trained(folder)
    whole, _ = checkpoint.load(folder)
    with torch.no_grad():
        for tokens in (pairs.chosen, pairs.rejected):
            own = adapted.reference.token_logps(tokens)
            assert (own - whole.token_logps(tokens)).abs().max() <= 1e-6
            moved = policy.token_logps(tokens) - own
            assert moved.abs().max() > 1e-2
            # and it is on again
            again = policy.token_logps(tokens) - own
            assert torch.equal(moved, again)


def test_only_the_adapter_is_trained(folder):
    adapted, policy, _ = trained(folder)
    moving = {n for n, p in policy.named_parameters() if p.requires_grad}
    assert moving and all("lora_" in name for name in moving)
    before = dict(checkpoint.load(folder)[0].network.model.named_parameters())
    after = {
        name.replace(".base_layer", ""): weights
        for name, weights in policy.network.model.named_parameters()
        if "lora_" not in name
    }
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    small, total = adapted.size
    assert small == sum(p.numel() for p in policy.parameters() if p.requires_grad)
    assert small < total


def test_the_adapter_is_saved_as_peft_does_and_read_again(folder, tmp_path):
    _, policy, pairs = trained(folder)
    policy.save(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    told = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (told["r"], told["lora_alpha"]) == (2, 8)
    merged, _ = checkpoint.load(tmp_path / "adapter")
    with torch.no_grad():
        gap = policy.token_logps(pairs.chosen) - merged.token_logps(pairs.chosen)
    assert gap.abs().max() < 1e-5
    assert merged.network.signs == policy.network.signs


def test_a_start_depends_on_its_seed_alone(folder):
    base, _ = checkpoint.load(folder)
    adapted = Lora(base, SHAPE)

    def weights(seed):
        policy = adapted.start(seed)
        moving = [p for p in policy.parameters() if p.requires_grad]
        return torch.cat([p.detach().flatten().clone() for p in moving])

    torch.manual_seed(5)
    first, other = weights(0), weights(1)
    state = torch.random.get_rng_state()
    assert torch.equal(first, weights(0)) and not torch.equal(first, other)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("", Shape()),
        ("r=8", Shape(r=8)),
        ("r=4,alpha=9,targets=q_proj+v_proj", Shape(4, 9, ("q_proj", "v_proj"))),
    ],
)
def test_a_shape_is_read_from_words(text, shape):
    assert parse(text) == shape


def test_a_kept_state_holds_the_adapter_alone(folder):
    """And is taken back, whatever the adapter was then; nothing else may be missing."""
    _, policy, pairs = trained(folder)
    state = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    assert state and all("lora_" in name for name in state)
    _, fresh, _ = trained(folder, steps=0)
    fresh.load_state_dict(state)
    with torch.no_grad():
        gap = policy.token_logps(pairs.chosen) - fresh.token_logps(pairs.chosen)
    assert gap.abs().max() == 0
    state.popitem()
    with pytest.raises(RuntimeError, match="Missing key.*lora_"):
        fresh.load_state_dict(state)


def test_four_bits_without_their_package_are_refused(monkeypatch):
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(BadOption, match="quant=4bit needs the package bitsandbytes"):
        parse("r=2,quant=4bit")
    with pytest.raises(BadOption, match="quant is 4bit, not '8bit'"):
        parse("quant=8bit")


@pytest.mark.parametrize("text", ["r=x", "rank=8", "r=0", "alpha=-1", "alpha=1.5", "r"])
def test_words_that_are_no_shape_are_refused(text):
    with pytest.raises(BadOption, match="--lora"):
        parse(text)


def test_layers_that_are_not_there_are_refused(folder):
    base, _ = checkpoint.load(folder)
    with pytest.raises(BadOption, match="--lora.*nowhere"):
        Lora(base, Shape(targets=("nowhere",)))
