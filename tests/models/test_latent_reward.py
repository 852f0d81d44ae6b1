"""A reward by taste: what it reads, what its encoder knows, the reward of one taste."""

import pytest
import torch
from torch.testing import assert_close

from workbench.core.contracts import RewardModel
from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.models.latent_reward import LatentReward
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)
DIM = 3


@pytest.fixture
def model():
    return LatentReward.tiny(WORLD.vocab, dim=DIM, width=16, layers=1, seed=1)


def some_tokens(n=12) -> Tokens:
    prompt = torch.arange(n) % WORLD.n_prompts
    return WORLD.tokens(prompt, (torch.arange(n) * 7) % WORLD.n_responses)


def some_codes(n=2, context=5):
    """Codes of chosen and rejected responses of n users."""
    return torch.randn(2, n, context, DIM + 16, generator=generator(3))


@torch.no_grad()
def test_responses_are_read_at_their_last_token_never_at_padding(model):
    tokens = some_tokens()
    wide = tokens.padded(tokens.ids.shape[1] + 3)
    dirty = Tokens(
        torch.where(wide.attention, wide.ids, 5), wide.mask, wide.attention,
        wide.prompt, wide.response,
    )  # fmt: skip
    base, slope, code = model.read(tokens)
    assert base.shape == (12,) and slope.shape == (12, DIM) and code.shape == (12, 19)
    for one, two in zip(model.read(dirty), (base, slope, code), strict=True):
        assert_close(one, two)
    assert torch.equal(code[:, :DIM], slope)
    assert torch.pdist(code).min() > 1e-3


@torch.no_grad()
def test_without_pairs_the_posterior_is_the_prior(model):
    known = torch.zeros(2, 5, dtype=torch.bool)
    mean, log_std = model.posterior(*some_codes(), known)
    assert mean.abs().max() == log_std.abs().max() == 0


@torch.no_grad()
def test_the_order_of_a_context_says_nothing_and_what_does_not_count_neither(model):
    chosen, rejected = some_codes()
    known = torch.tensor([[True] * 5, [True, False, True, True, False]])
    expected = model.posterior(chosen, rejected, known)
    order = torch.tensor([3, 1, 4, 0, 2])
    moved = model.posterior(chosen[:, order], rejected[:, order], known[:, order])
    for one, two in zip(moved, expected, strict=True):
        assert_close(one, two)
    noisy = torch.where(known[..., None], chosen, 9.0)
    for one, two in zip(model.posterior(noisy, rejected, known), expected, strict=True):
        assert_close(one, two)
    # who is chosen is told: the same pairs with other labels have another posterior
    other, _ = model.posterior(rejected, chosen, known)
    assert (other - expected[0]).abs().max() > 0.1


@torch.no_grad()
def test_the_first_guess_is_the_sum_of_slopes_as_of_a_gaussian_of_unit_noise(model):
    """With the network silent: mean Σ(φ_c − φ_r)/(n + 1), deviation (n + 1)^−½."""
    model.summary.weight.zero_()
    chosen, rejected = some_codes(n=1, context=4)
    mean, log_std = model.posterior(chosen, rejected, torch.ones(1, 4).bool())
    assert_close(mean, (chosen - rejected)[..., :DIM].sum(1) / 5)
    assert_close(log_std, torch.full((1, DIM), 5.0).log() / -2)


@torch.no_grad()
def test_the_reward_of_a_taste_is_affine_in_it(model):
    tokens, z = some_tokens(), torch.tensor([0.5, -2.0, 1.0])
    base, slope, _ = model.read(tokens)
    judge = model.at(z)
    assert isinstance(judge, RewardModel) and isinstance(model, RewardModel)
    assert_close(judge.scores(tokens), base + slope @ z)
    table, close = judge.score_all(WORLD), {"atol": 1e-5, "rtol": 0}
    told = table[tokens.prompt, tokens.response]
    assert_close(told, judge(tokens).double(), **close)
    middle = (table + model.at(-z).score_all(WORLD)) / 2
    assert_close(model.score_all(WORLD), middle, **close)
    told = model.score_all(WORLD)[tokens.prompt, tokens.response]
    assert_close(told, model.scores(tokens).double(), **close)


def test_every_part_is_reached_by_the_posterior_and_the_score(model):
    even = torch.zeros(WORLD.n_prompts, WORLD.n_responses).log_softmax(-1)
    pairs = sample_pairs(WORLD, even, 6, Annotator(), generator(2))
    mean, log_std = model.taste_of(pairs)
    (model.at(mean)(pairs.chosen).sum() + log_std.sum()).backward()
    for part in (model.network, model.pair, model.summary):
        assert all(p.grad is not None for p in part.parameters() if p.requires_grad)
        assert any(p.grad.any() for p in part.parameters())


def test_seeds_differ_and_a_saved_model_comes_back(model, tmp_path):
    from safetensors.torch import load_file

    other = LatentReward.tiny(WORLD.vocab, dim=DIM, width=16, layers=1, seed=2)
    with torch.no_grad():
        assert (other.scores(some_tokens()) - model.scores(some_tokens())).any()
        model.save(tmp_path)
        other.load_state_dict(load_file(tmp_path / "reward.safetensors"))
        for one, two in zip(
            other.read(some_tokens()), model.read(some_tokens()), strict=True
        ):
            assert_close(one, two)
