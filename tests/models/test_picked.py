"""Log-probs of response tokens in parts: the plain way's values and gradients."""

import pytest
import torch
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaForCausalLM,
)

from tests.models import families
from workbench.core.logps import token_logps
from workbench.models import picked
from workbench.models.lora import Lora, Shape
from workbench.models.network import Network, Stacked
from workbench.models.policy import Policy

SMALL = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
}  # fmt: skip


def cohere():
    return CohereForCausalLM(CohereConfig(**SMALL, logit_scale=0.25, pad_token_id=0))


def granite():
    return GraniteForCausalLM(GraniteConfig(**SMALL, logits_scaling=3.0))


MODELS = {
    family: (lambda family=family: families.model(family, families.coder(family)))
    for family in families.SIGNS
} | {"cohere": cohere, "granite": granite}


@pytest.fixture(params=MODELS)
def model(request, monkeypatch):
    """A decoder with loud logits, so that a cap or a factor shows."""
    monkeypatch.setattr(picked, "WORDS", 1)
    monkeypatch.setattr(picked, "_PRODUCTS", 3 * 61)  # pieces of a few positions
    torch.manual_seed(0)
    made = MODELS[request.param]().eval()
    with torch.no_grad():
        made.get_output_embeddings().weight.mul_(40)
    return made


@pytest.fixture
def rows(model):
    """Ids, a mask with prompts and padding, weights of the tokens, forbidden words."""
    stream = torch.Generator().manual_seed(1)
    ids = torch.randint(model.config.vocab_size, (3, 9), generator=stream)
    mask = torch.zeros(3, 9, dtype=torch.bool)
    mask[0, 3:9], mask[1, 5:6], mask[2, 1:4] = True, True, True
    ban = torch.zeros(model.config.vocab_size)
    ban[[t for t in range(5) if t not in ids]] = -torch.inf
    return ids, mask, torch.randn(3, 9, generator=stream), ban


def both_ways(network, rows):
    """Values and all gradients, in parts and the plain way."""
    ids, mask, weights, ban = rows
    found = []
    for values in (
        lambda: network.token_logps(ids, mask, ban),
        lambda: token_logps(network(ids) + ban, ids, mask),
    ):
        network.zero_grad()
        made = values()
        (made * weights).sum().backward()
        named = network.named_parameters()
        found.append((made.detach(), {n: p.grad for n, p in named}))
    return found


def test_values_and_gradients_are_the_plain_ones(model, rows):
    network = Network(model)
    assert network.tail is not None
    (values, gradients), (plain, expected) = both_ways(network, rows)
    scale = plain.abs().max()
    assert scale > 5  # nats: nothing here is near the uniform distribution
    assert (values - plain).abs().max() <= 1e-6 * scale
    assert (values == 0).equal(~rows[1]) and gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        gap = (gradients[name] - gradient).abs().max()
        assert gap <= 1e-5 * max(1, gradient.abs().max()), name


def test_beside_a_frozen_head_too(model, rows):
    """As with an adapter elsewhere, whose head is applied once."""
    network = Network(model)
    for weights in model.get_output_embeddings().parameters():
        weights.requires_grad_(False)
    (values, gradients), (plain, expected) = both_ways(network, rows)
    assert (values - plain).abs().max() <= 1e-6 * plain.abs().max()
    moving = {n for n, g in gradients.items() if g is not None}
    assert len(moving) > 8 and moving == {
        n for n, g in expected.items() if g is not None
    }
    for name in moving:
        gap = (gradients[name] - expected[name]).abs().max()
        assert gap <= 1e-5 * max(1, expected[name].abs().max()), name


def test_an_adapter_of_the_head_counts(model, rows):
    """And the frozen weights get no gradient."""
    policy = Policy(Network(model))
    adapted = Lora(policy, Shape(r=2, alpha=8, targets=("lm_head",)))
    network = adapted.start(0).network
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "lora_B" in name:
                weights.normal_(generator=torch.Generator().manual_seed(2))
    (values, gradients), (plain, expected) = both_ways(network, rows)
    assert (values - plain).abs().max() <= 1e-6 * plain.abs().max()
    moving = {n for n, g in gradients.items() if g is not None}
    assert moving and all("lora_" in name for name in moving)
    for name in moving:
        gap = (gradients[name] - expected[name]).abs().max()
        assert gap <= 1e-5 * max(1, expected[name].abs().max())
    off = adapted.reference.network
    gap = off.token_logps(*rows[:2], rows[3]) - values
    assert gap.abs().max() > 1e-3, "the reference has its adapter off"


def test_what_is_known_of_the_families():
    assert picked.tail_of(MODELS["gemma"]().eval()) == picked.Tail(cap=30.0)
    assert picked.tail_of(cohere()) == picked.Tail(0.25)
    assert picked.tail_of(granite()) == picked.Tail(1 / 3)
    assert picked.tail_of(MODELS["bare"]().eval()) == picked.Tail()


class Unheard(LlamaForCausalLM):
    """A family whose logits are cut in a way that nobody told."""

    def forward(self, **given):
        """Logits of at most 20."""
        made = super().forward(**given)
        made.logits = made.logits.clamp(-20, 20)
        return made


def test_a_family_with_another_head_goes_the_plain_way(monkeypatch):
    """Its first logits are small: the trial is loud enough to see the cut."""
    monkeypatch.setattr(picked, "WORDS", 1)
    made = MODELS["inst"]()
    torch.manual_seed(0)
    unheard = Unheard(made.config).eval()
    assert picked.tail_of(unheard) is None
    network = Network(unheard)
    ids = torch.arange(6).reshape(1, 6)
    mask = torch.ones(1, 6, dtype=torch.bool)
    ban = torch.zeros(made.config.vocab_size)
    plain = token_logps(network(ids), ids, mask)
    assert torch.equal(network.token_logps(ids, mask, ban), plain)


def test_small_vocabularies_and_stacks_go_the_plain_way():
    """What the course trains is what it was, bit for bit."""
    network = Network(MODELS["inst"]().eval())
    assert network.tail is None and not hasattr(Stacked([network] * 2), "tail")


def test_no_token_counts_and_no_row_is_lost(monkeypatch):
    monkeypatch.setattr(picked, "WORDS", 1)
    network = Network(MODELS["inst"]().eval())
    ids = torch.arange(6).reshape(2, 3)
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    values = network.token_logps(ids, nothing, torch.zeros(network.config.vocab_size))
    assert values.tolist() == [[0, 0, 0]] * 2
    values.sum().backward()


@pytest.mark.parametrize(("frozen", "passes"), [(False, 2), (True, 1)])
def test_the_logits_of_a_whole_sequence_are_never_there(monkeypatch, frozen, passes):
    """Known mistake: a chunk that is as large as the sequence."""
    monkeypatch.setattr(picked, "WORDS", 1)
    network = Network(MODELS["inst"]().eval())
    network.model.lm_head.requires_grad_(not frozen)
    words = network.config.vocab_size
    monkeypatch.setattr(picked, "_PRODUCTS", 4 * words)
    seen: list[int] = []
    real = picked._pick

    def spy(products, *rest):
        seen.append(len(products))
        return real(products, *rest)

    monkeypatch.setattr(picked, "_pick", spy)
    ids = torch.arange(40).reshape(2, 20)
    mask = torch.ones(2, 20, dtype=torch.bool)
    mask[:, :10] = False
    network.token_logps(ids, mask, torch.zeros(words)).sum().backward()
    assert max(seen) == 4 and sum(seen) == passes * 20
