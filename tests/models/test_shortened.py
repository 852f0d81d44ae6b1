"""A model with fewer layers is the model whose later layers do nothing."""

import torch

from tests.models import families
from workbench.models import checkpoint, lora, shortened


def test_what_is_left_is_what_the_first_layers_computed(tmp_path):
    """Against the whole model whose second layer adds nothing to what it reads."""
    folder = families.save("inst", tmp_path)
    ids = torch.arange(3, 13)[None]
    whole, _ = checkpoint.load(folder)
    second = whole.network.model.model.layers[1]
    with torch.no_grad():
        second.self_attn.o_proj.weight.zero_()
        second.mlp.down_proj.weight.zero_()
        wanted = whole.logits(ids)
    short, _ = checkpoint.load(folder)
    assert shortened.first_layers(short, 1) is short
    assert short.network.model.config.num_hidden_layers == 1
    with torch.no_grad():
        assert torch.allclose(short.logits(ids), wanted, atol=1e-5)


def test_more_layers_than_there_are_leave_all(tmp_path):
    policy, _ = checkpoint.load(families.save("inst", tmp_path))
    shortened.first_layers(policy, 30)
    assert policy.network.model.config.num_hidden_layers == 2


def test_an_adapter_sits_in_the_last_layers_alone(tmp_path):
    """Of two layers with two matrices each, one layer: two adapters."""
    policy, _ = checkpoint.load(families.save("inst", tmp_path))
    where = shortened.last_layers(policy, 1, ("q_proj", "v_proj"))
    assert where == ("layers.1.self_attn.q_proj", "layers.1.self_attn.v_proj")
    made = lora.Lora(policy, lora.Shape(r=2, targets=where)).start(0)
    named = [name for name, _ in made.named_parameters() if "lora_A" in name]
    assert len(named) == 2 and all("layers.1." in name for name in named)
