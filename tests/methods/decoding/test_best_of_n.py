"""The distribution of best-of-n by hand, by sampling, and in hard numerical cases."""

from decimal import Decimal, getcontext

import pytest
import torch
from torch.testing import assert_close

from tests.methods.caught import assert_caught
from tests.methods.enumerated import F64, random, random_logps
from workbench.methods.decoding import best_of_n
from workbench.worlds.reviews import Reviews
from workbench.worlds.solutions import expectation, kl

N = 40
SCORES = random(1, N).round(decimals=1)  # rounding makes ties


def check_ties_share_by_their_mass(log_distribution):
    """π_ref = (0.5, 0.3, 0.2), scores (0, 1, 1), n = 2.

    P(0) = 0.5² = 0.25; the tied two have 1 − 0.25 = 0.75, split 3 : 2.
    """
    ref = torch.tensor([0.5, 0.3, 0.2], dtype=F64).log()
    got = log_distribution(ref, torch.tensor([0.0, 1, 1], dtype=F64), 2).exp()
    assert_close(got.tolist(), [0.25, 0.45, 0.3])


def check_probabilities_sum_to_one(log_distribution):
    """F≤^n − F<^n telescopes to 1."""
    for n in (1, 2, 7, 64, 10_000):
        total = log_distribution(random_logps(2, N), SCORES, n).logsumexp(-1)
        assert abs(total) < 1e-12


def check_one_draw_is_the_reference(log_distribution):
    """n = 1 selects nothing."""
    assert_close(log_distribution(random_logps(2, N), SCORES, 1), random_logps(2, N))


CHECKS = [
    check_ties_share_by_their_mass,
    check_probabilities_sum_to_one,
    check_one_draw_is_the_reference,
]


@pytest.mark.parametrize("check", CHECKS)
def test_distribution_passes(check):
    check(best_of_n.log_distribution)


@pytest.mark.parametrize("name", best_of_n.mistakes)
def test_mistake_is_caught(name):
    assert_caught(best_of_n.mistakes[name], CHECKS)


def test_many_draws_leave_the_reference_on_the_best_score():
    ref = random_logps(2, N)
    best = SCORES == SCORES.max()
    got = best_of_n.log_distribution(ref, SCORES, 10**7)
    want = torch.where(best, ref, -torch.inf).log_softmax(-1)
    assert_close(got.exp(), want.exp(), atol=1e-6, rtol=0)


def test_increasing_transforms_of_the_score_change_nothing():
    ref = random_logps(2, N)
    base = best_of_n.log_distribution(ref, SCORES, 5)
    assert_close(best_of_n.log_distribution(ref, SCORES.exp(), 5), base)
    assert_close(best_of_n.log_distribution(ref, 3 * SCORES**3 + SCORES, 5), base)


def test_best_of_two_of_best_of_three_is_best_of_six():
    ref = random_logps(2, N)
    twice = best_of_n.log_distribution(
        best_of_n.log_distribution(ref, SCORES, 3), SCORES, 2
    )
    assert_close(twice, best_of_n.log_distribution(ref, SCORES, 6))


def test_kl_obeys_the_bound_on_all_reviews_and_grows_with_n():
    world = Reviews(max_words=3)
    ref = random(3, 4, world.n_responses).log_softmax(-1)
    scores, last = world.gold.double(), torch.zeros(4, dtype=F64)
    gold = expectation(ref, scores)
    for n in (2, 4, 16, 256, 10_000):
        chosen = best_of_n.log_distribution(ref, scores, n)
        assert_close(chosen.logsumexp(-1), torch.zeros(4, dtype=F64))
        distance = kl(chosen, ref)
        assert (last < distance).all()
        assert (distance <= best_of_n.kl_bound(n)).all()
        assert (expectation(chosen, scores) > gold).all()
        last, gold = distance, expectation(chosen, scores)


def test_bound_is_reached_as_the_atoms_shrink():
    gaps = []
    for size in (100, 10_000):
        ref = torch.zeros(size, dtype=F64).log_softmax(-1)
        chosen = best_of_n.log_distribution(ref, torch.arange(size, dtype=F64), 4)
        gaps.append(best_of_n.kl_bound(4) - kl(chosen, ref).item())
    assert 0 < gaps[1] < 1e-6 < gaps[0] < 1e-2


@pytest.mark.parametrize("n", [3, 10_000])
def test_rare_responses_keep_their_digits(n):
    """Masses from e^0 down to e^−400, against 400 decimal places."""
    getcontext().prec = 400
    ref = (-10 * torch.arange(40, dtype=F64)).log_softmax(-1)
    for scores in (torch.arange(40.0), -torch.arange(40.0)):
        got = best_of_n.log_distribution(ref, scores, n)
        mass = [Decimal(value).exp() for value in ref.tolist()]
        whole = sum(mass)
        order = scores.argsort().tolist()
        below = Decimal(0)
        for i in order:
            upto = below + mass[i] / whole
            exact = upto**n - below**n
            if exact > Decimal("1e-300"):
                assert float(exact.ln()) == pytest.approx(got[i].item(), rel=1e-9)
            below = upto


def test_responses_the_reference_never_writes_are_never_chosen():
    ref = random_logps(2, N).clone()
    ref[SCORES == SCORES.min()] = -torch.inf
    ref[SCORES.argmax()] = -torch.inf
    got = best_of_n.log_distribution(ref, SCORES, 8)
    assert not got.isnan().any()
    assert ((got == -torch.inf) == (ref == -torch.inf)).all()
    assert abs(got.logsumexp(-1)) < 1e-12


def test_selected_samples_follow_the_distribution():
    """20,000 selections of the best of 3: χ² of 9 cells with 8 degrees of freedom.

    Its 99.99 % quantile is 31.8.
    """
    ref, n, draws = random_logps(4, 9), 3, 20_000
    scores = torch.tensor([0.0, 1, 1, 2, -1, 2, 0.5, 3, 1], dtype=F64)
    generator = torch.Generator().manual_seed(5)
    drawn = torch.multinomial(ref.exp(), n * draws, True, generator=generator)
    kept = drawn[best_of_n.best(scores[drawn], n)]
    seen = torch.bincount(kept, minlength=9)
    expected = draws * best_of_n.log_distribution(ref, scores, n).exp()
    assert ((seen - expected) ** 2 / expected).sum() < 31.8


def test_select_returns_the_row_of_the_best_of_each_prompt():
    scores = torch.tensor([1.0, 3, 2, 5, 5, 0])
    assert best_of_n.best(scores, 3).tolist() == [1, 3]


def test_bound_by_hand():
    """n = 1: 0. n = 4: log 4 − 3/4."""
    assert best_of_n.kl_bound(1) == 0
    assert best_of_n.kl_bound(4) == pytest.approx(0.6362943611)
