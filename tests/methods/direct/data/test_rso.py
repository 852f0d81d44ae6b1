"""RSO: the loss by hand, and the distribution of what its rejection sampling keeps."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.pairwise import (
    pair,
    population_gradient,
    pulls,
    reference_gradients,
)
from workbench.core.seeds import generator
from workbench.feedback.kinds.lists import Lists, sample_lists
from workbench.methods.direct.data import rso
from workbench.methods.direct.links import dpo
from workbench.worlds.reviews import Reviews
from workbench.worlds.solutions import expectation, optimal_policy

CFG = rso.Config(beta=0.7, gamma=0.4, keep=4)
N = TREE.n_responses
WORLD = Reviews(max_words=2)


def hand():
    """One pair: d(y_c) = (−1 + 2) + (−2 + 2.5) = 1.5, d(y_r) = −3 + 2 = −1, D = 2.5."""
    return pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])


def check_hand_number(loss):
    """γD = 0.4 · 2.5 = 1: log(1 + e^−1); β = 0.7 has no say."""
    assert_close(loss(hand(), CFG).tolist(), [math.log1p(math.exp(-1))])


def check_push_is_gamma_times_the_error(loss):
    """γ σ(−γD) = 0.4/(1 + e) up on each token of y_c, down on y_r."""
    batch, push = hand(), 0.4 / (1 + math.e)
    up, down = pulls(loss, batch, CFG)
    assert_close(up, push * batch.chosen_mask.to(F64))
    assert_close(down, -push * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert reference_gradients(loss, hand(), CFG) == 0


def check_the_distribution_of_the_pairs_does_not_move_the_minimiser(loss):
    """π_ref exp(r/γ)/Z rests with Bradley–Terry labels, for pairs of π_ref or π*_β."""
    ref, reward = random_logps(1), 2 * random(2, N)
    prefers = (reward[:, None] - reward).sigmoid()
    best = optimal_policy(ref, reward, CFG.gamma)
    for mu in (ref, optimal_policy(ref, reward, CFG.beta)):
        weight = (mu[:, None] + mu).exp()
        gradient = population_gradient(loss, CFG, best, ref, prefers, weight)
        assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_push_is_gamma_times_the_error,
    check_reference_gets_no_gradient,
    check_the_distribution_of_the_pairs_does_not_move_the_minimiser,
]


def test_it_is_dpo_at_gamma():
    assert_close(rso.loss(hand(), CFG), dpo.loss(hand(), dpo.Config(beta=0.4)))


# ---- what is kept -----------------------------------------------------------------


def test_a_pass_has_the_distribution_and_the_rate_of_the_paper():
    """π_ref exp((r − r_max)/β) = π*_β times the rate E_ref[exp((r − r_max)/β)]."""
    ref, reward = random_logps(1), random(3, N)
    passed = ref.exp() * rso.acceptance(reward, CFG)
    rate = expectation(ref, ((reward - reward.max()) / CFG.beta).exp())
    assert_close(passed, rate * optimal_policy(ref, reward, CFG.beta).exp())
    assert_close(passed.sum(), rate)


def test_draws_agree_with_the_distribution_and_the_rate():
    """200,000 candidates of π_ref, the responses within 5 standard errors.

    As many are kept as the first pass accepts for certain.
    """
    ref, reward, draws = random_logps(1), random(3, N), 200_000
    drawn = torch.multinomial(ref.exp(), draws, True, generator=generator(1))
    rate = expectation(ref, rso.acceptance(reward, CFG)).item()
    spread = 5 * math.sqrt(rate * (1 - rate) / draws)
    cfg = rso.Config(beta=CFG.beta, keep=int(draws * (rate - spread)))
    kept = rso.select(reward[drawn], cfg, generator(2))
    best = optimal_policy(ref, reward, CFG.beta).exp()
    found = drawn[kept].bincount(minlength=N) / len(kept)
    assert ((found - best).abs() < 5 * (best * (1 - best) / len(kept)).sqrt()).all()


def kept_shares(scores, cfg, draws, seed=0):
    """How often each candidate is kept."""
    source, count = generator(seed), torch.zeros(len(scores), dtype=F64)
    for _ in range(draws):
        count[rso.select(scores, cfg, source)] += 1
    return count / draws


def test_of_two_candidates_the_worse_is_kept_as_often_as_it_ties_in_the_first_pass():
    """It is accepted with a = exp(−1/0.7), and then is first in half the cases."""
    cfg = rso.Config(beta=0.7, keep=1)
    shares = kept_shares(torch.tensor([-1.0, 0.0]), cfg, 1500)
    half = math.exp(-1 / 0.7) / 2
    assert shares.tolist() == pytest.approx([half, 1 - half], abs=0.04)


def test_the_best_that_remains_is_always_accepted_so_passes_end():
    """Scores 1,000 β apart: a pass takes one, and keep = 3 needs three."""
    scores = torch.tensor([-2000.0, 0.0, -1000.0, -3000.0])
    cfg = rso.Config(beta=1.0, keep=3)
    assert rso.select(scores, cfg, generator(0)).tolist() == [1, 2, 0]


def test_small_beta_keeps_the_best_and_large_beta_any():
    scores = random(3, 10)
    top = kept_shares(scores, rso.Config(beta=1e-9, keep=4), 5)
    assert_close(top, (scores >= scores.sort().values[-4]).double())
    shares = kept_shares(scores, rso.Config(beta=1e9, keep=4), 1000)
    assert_close(shares, torch.full_like(shares, 0.4), atol=0.08, rtol=0)


def test_nobody_is_kept_twice_and_all_can_be_kept():
    cfg = rso.Config(beta=0.7, keep=6)
    kept = rso.select(random(3, 6), cfg, generator(0))
    assert kept.sort().values.tolist() == [0, 1, 2, 3, 4, 5]


def test_too_few_candidates_are_refused():
    with pytest.raises(ValueError, match="3 candidates are too few to keep 4"):
        rso.select(random(3, 3), CFG, generator(0))


def test_candidates_with_the_same_text_stay_apart():
    """A response drawn three times of four, equal scores: kept three times of four."""
    cfg = rso.Config(beta=1.0, keep=1)
    shares = kept_shares(torch.zeros(4), cfg, 1000)
    assert shares[:3].sum().item() == pytest.approx(0.75, abs=0.06)


# ---- the pairs --------------------------------------------------------------------


def candidates(n=30, group=16, seed=0, noise=0.0):
    log_probs = torch.zeros(WORLD.n_prompts, WORLD.n_responses, dtype=F64).log_softmax(
        -1
    )
    return sample_lists(WORLD, log_probs, n, group, generator(seed), noise=noise)


def test_a_pair_is_of_one_prompt_and_the_higher_score_is_chosen():
    data = rso.pairs(candidates(), CFG, generator(1))
    assert 30 < len(data) <= 60
    assert (data.chosen.prompt == data.rejected.prompt).all()
    gold = WORLD.gold_reward
    assert (gold(data.chosen) > gold(data.rejected)).all()


def test_twice_the_same_text_is_no_pair_even_with_other_scores():
    tokens = WORLD.tokens(torch.zeros(4, dtype=torch.long), torch.full((4,), 7))
    scores = torch.tensor([[0.1, 0.4, 0.2, 0.3]], dtype=F64)
    same = Lists(tokens, scores, 0 * scores, torch.ones(1, dtype=F64))
    assert len(rso.pairs(same, CFG, generator(0))) == 0


def test_pairs_carry_the_weight_of_their_list():
    few = candidates(n=2)
    heavy = Lists(
        few.tokens, few.scores, few.proposal, torch.tensor([1.0, 3.0]).double()
    )
    data = rso.pairs(heavy, CFG, generator(1))
    assert_close(data.weight, 1.0 + 2.0 * (data.chosen.prompt == 1).double())


def test_kept_responses_are_better_and_their_share_of_the_best_falls_with_beta():
    data = candidates(n=40, group=32)
    means = []
    for beta in (0.05, 0.7, 1e9):
        made = rso.pairs(data, rso.Config(beta=beta, keep=8), generator(1))
        means.append(WORLD.gold_reward(made.both).double().mean().item())
    assert means[0] > means[1] > means[2]
