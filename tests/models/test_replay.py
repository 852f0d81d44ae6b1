"""Gradient checkpointing: the same gradients, and layers that run twice."""

import pytest
import torch
from transformers import OPTConfig, OPTForCausalLM

from tests.models import families
from workbench.core.errors import BadOption
from workbench.models import replay
from workbench.models.lora import Lora, Shape
from workbench.models.network import Network
from workbench.models.policy import Policy
from workbench.models.prompts import respond


def opt():
    """A family whose layers drop by themselves, and not in a module of theirs."""
    shape = {"vocab_size": 61, "hidden_size": 32, "ffn_dim": 48, "dropout": 0.5,
             "num_hidden_layers": 2, "num_attention_heads": 2, "pad_token_id": 0,
             "word_embed_proj_dim": 32, "max_position_embeddings": 64}  # fmt: skip
    return OPTForCausalLM(OPTConfig(**shape))


MODELS = {
    family: (lambda family=family: families.model(family, families.coder(family)))
    for family in families.SIGNS
} | {"opt": opt}
IDS = torch.arange(5, 29).reshape(2, 12)


def network(family):
    torch.manual_seed(0)
    return Network(MODELS[family]().eval())


def gradients(of, marked):
    """Gradients by name, and how often the layers ran in both passes."""
    if marked:
        of.save_memory()
    return run(of)


def run(of):
    count = [0]
    layers = replay._layers(of.model)
    inner = [next(m for m in layer.modules() if m is not layer) for layer in layers]
    handles = [
        module.register_forward_hook(lambda *a: count.__setitem__(0, count[0] + 1))
        for module in inner
    ]
    of.zero_grad()
    of(IDS).log_softmax(-1)[..., 3].sum().backward()
    for handle in handles:
        handle.remove()
    found = {n: p.grad.clone() for n, p in of.named_parameters() if p.grad is not None}
    return found, count[0] / len(layers)


@pytest.mark.parametrize("family", MODELS)
def test_the_gradients_are_the_same_and_layers_run_twice(family):
    """Known mistake: dropout of a layer that is told it trains."""
    plain, once = gradients(network(family), marked=False)
    again, twice = gradients(network(family), marked=True)
    assert (once, twice) == (1, 2) and plain.keys() == again.keys()
    for name, gradient in plain.items():
        gap = (again[name] - gradient).abs().max()
        assert gap <= 1e-6 * max(1, gradient.abs().max()), name


@pytest.mark.parametrize("family", MODELS)
def test_an_adapter_has_the_same_gradients_too(family):
    """Its inputs need no gradient: the reentrant way gives it none."""
    found = []
    for marked in (False, True):
        base = network(family)
        if marked:
            base.save_memory()
        adapted = Lora(Policy(base), Shape(r=2, targets=("all-linear",)))
        of = adapted.start(0).network
        with torch.no_grad():
            for name, weights in of.named_parameters():
                if "lora_B" in name:
                    weights.normal_(generator=torch.Generator().manual_seed(3))
        found.append(run(of))
    (plain, once), (again, twice) = found
    assert (once, twice) == (1, 2) and plain and plain.keys() == again.keys()
    for name, gradient in plain.items():
        gap = (again[name] - gradient).abs().max()
        assert gap <= 1e-6 * max(1, gradient.abs().max()), name


def test_samples_keep_their_cache_and_nothing_stays_in_training_mode():
    plain, marked = Policy(network("gemma")), Policy(network("gemma"))
    marked.network.save_memory()
    run(marked.network)
    assert not any(module.training for module in marked.network.model.modules())
    drawn = [
        respond(policy, [[5, 6, 7]] * 4, 6, torch.Generator().manual_seed(0)).ids
        for policy in (plain, marked)
    ]
    assert torch.equal(*drawn)


def test_a_family_without_such_layers_is_refused(monkeypatch):
    monkeypatch.setattr(replay, "_layers", lambda model: [])
    with pytest.raises(BadOption, match="--checkpointing: .* qwen2"):
        network("chatml").save_memory()
