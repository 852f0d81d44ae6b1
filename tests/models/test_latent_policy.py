"""A policy that writes from a code: its start, its padding, its use at the ideal."""

import pytest
import torch
from torch.testing import assert_close

from workbench.core.errors import BadCall
from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.latent_pairs import LatentPairs
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.loops import offline
from workbench.measure.exact import evaluate
from workbench.methods.direct.data import oppo
from workbench.models import tiny
from workbench.models.latent_policy import LatentPolicy
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)


@pytest.fixture(scope="module")
def reference():
    return tiny.reference(WORLD)


@pytest.fixture
def policy(reference):
    return LatentPolicy.tiny(reference, WORLD.vocab, dim=4, width=32, layers=1)


@pytest.fixture
def stirred(policy):
    """The same with a prefix that does something."""
    with torch.no_grad():
        noise = torch.randn(policy.prefix.weight.shape, generator=generator(1))
        policy.prefix.weight += 0.3 * noise
    return policy


def some_tokens(n=12):
    prompt = torch.arange(n) % WORLD.n_prompts
    return WORLD.tokens(prompt, (torch.arange(n) * 7) % WORLD.n_responses)


def some_pairs(n=64):
    even = torch.zeros(WORLD.n_prompts, WORLD.n_responses).log_softmax(-1)
    return sample_pairs(WORLD, even, n, Annotator(), generator(2))


def test_before_training_every_code_gives_the_decoder_itself(policy, reference):
    tokens = some_tokens()
    assert_close(policy.token_logps(tokens), reference.token_logps(tokens))
    logps = policy.at_ideal().response_logps(WORLD)
    assert_close(logps, reference.response_logps(WORLD), atol=1e-5, rtol=0)


def test_the_reference_itself_is_not_trained(policy, reference):
    before = [p.clone() for p in reference.parameters()]
    assert all(p.requires_grad for p in policy.parameters())
    data = LatentPairs(some_pairs(8))
    offline.fit(policy, None, data, oppo, oppo.Config(), steps=2, batch_size=8)
    after = reference.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_codes_do_not_read_padding(stirred):
    tokens = some_tokens()
    wide = tokens.padded(tokens.ids.shape[1] + 3)
    dirty = Tokens(
        torch.where(wide.attention, wide.ids, 5), wide.mask, wide.attention,
        wide.prompt, wide.response,
    )  # fmt: skip
    assert_close(stirred.codes(dirty), stirred.codes(tokens))
    got = stirred.token_logps(dirty)[:, : tokens.ids.shape[1]]
    assert_close(got, stirred.token_logps(tokens))


def test_a_code_sees_the_response_and_the_prompt(stirred):
    codes = stirred.codes(some_tokens())
    assert codes.shape == (12, 4)
    assert torch.pdist(codes).min() > 1e-3


def test_at_one_code_all_readings_agree(stirred):
    """Token log-probs given a code, that code's distribution, and its log-probs."""
    code, tokens = torch.tensor([0.5, -1.0, 0.3, 2.0]), some_tokens()
    fixed = stirred.at(code)
    given = stirred.token_logps(tokens, code.expand(len(tokens), -1))
    assert_close(fixed.token_logps(tokens), given)
    log_probs = fixed.response_logps(WORLD)
    assert_close(log_probs[tokens.prompt, tokens.response], given.sum(-1).double())
    assert_close(log_probs.logsumexp(-1), torch.zeros(WORLD.n_prompts).double())
    other = stirred.at(-code).response_logps(WORLD)
    assert (log_probs - other).abs().max() > 0.1


def test_measures_and_samplers_know_the_policy_at_its_ideal(stirred, reference):
    ref = reference.response_logps(WORLD).detach()
    row = evaluate(stirred.at_ideal(), WORLD, ref, gold=WORLD.gold).iloc[0]
    assert row["kl"] > 0.01
    prompt = torch.zeros(4000, dtype=torch.long)
    drawn = stirred.at_ideal().sample(WORLD, prompt, generator(3))
    share = (drawn.response == 1).double().mean().item()
    probs = stirred.at_ideal().response_logps(WORLD)[0].exp()
    assert share == pytest.approx(probs[1].item(), abs=0.03)


def test_a_batch_holds_each_pair_in_its_own_row(stirred):
    pairs = some_pairs()
    data, rows = LatentPairs(pairs), torch.tensor([5, 0, 9])
    batch = data.batch(stirred, rows, data.reference_logps(None))
    assert_close(batch.code_rejected, stirred.codes(pairs.rejected[rows]))
    chosen, rejected = batch.logps()
    assert_close(chosen, stirred.token_logps(pairs.chosen[rows]).sum(-1))
    assert_close(rejected, stirred.token_logps(pairs.rejected[rows]).sum(-1))
    assert (batch.policy_ideal == stirred.ideal).all()
    assert len(data) == len(data.weight) == 64


def test_every_part_is_reached_by_some_gradient(stirred):
    data = LatentPairs(some_pairs(16))
    batch = data.batch(stirred, torch.arange(16), None)
    oppo.loss(batch, oppo.Config()).sum().backward()
    for part in (stirred.decoder, stirred.encoder, stirred.prefix):
        assert any(p.grad is not None and p.grad.any() for p in part.parameters())
    assert stirred.ideal.grad.abs().max() > 0


def test_training_lowers_the_loss_and_orders_the_codes(policy, tmp_path):
    """Sixty steps: a smaller loss, and more chosen codes nearer to z* than rejected."""
    data, cfg = LatentPairs(some_pairs()), oppo.Config()

    def state():
        with torch.no_grad():
            batch = data.batch(policy, torch.arange(64), None)
            ideal = batch.policy_ideal
            near = (ideal - batch.code_chosen).norm(dim=-1)
            far = (ideal - batch.code_rejected).norm(dim=-1)
            return oppo.loss(batch, cfg).mean().item(), (near < far).double().mean()

    before, ordered = state()
    settings = {"steps": 60, "batch_size": 32, "lr": 3e-3}
    offline.fit(policy, None, data, oppo, cfg, out=tmp_path, **settings)
    after, now = state()
    assert after < before - 0.5
    assert now > ordered + 0.1
    assert (tmp_path / "policy" / "context.safetensors").exists()


def test_a_stack_is_refused(reference):
    stack = LatentPolicy.tiny(reference.copies(1), WORLD.vocab, width=32, layers=1)
    with pytest.raises(BadCall, match="single decoder"):
        stack.token_logps(some_tokens())
