"""The χ² optimum by hand, its optimality, and the guarantee it gives for gold."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.caught import assert_caught
from tests.methods.enumerated import F64, random, random_logps
from workbench.methods.direct.pessimism.chi2_direct import (
    Config,
    gold_floor,
    log_distribution,
    mistakes,
)
from workbench.worlds.reviews import Reviews
from workbench.worlds.solutions import (
    chi2,
    covariance,
    expectation,
    optimal_policy_chi2,
)

N = 60
REF, PROXY = random_logps(1, N), random(2, N)
SPREAD = covariance(REF, PROXY, PROXY).sqrt().item()


def random_distributions(count):
    """Random distributions near and far from the reference."""
    return [(REF + 0.1 * k * random(k, N)).log_softmax(-1) for k in range(1, count)]


def check_hand_numbers(log_distribution):
    """π_ref = ⅓ each, R = (2, 1, 0); ν = ½ leaves (1.5, 0.5, 0), so π = (¾, ¼, 0).

    c = E_ref[(R − ν)₊]/2 = ⅓;  λ² = (2.25 + 0.25)/3 − (2/3)² = 7/18.
    """
    ref = torch.full((3,), 1 / 3, dtype=F64).log()
    reward = torch.tensor([2.0, 1, 0], dtype=F64)
    got = log_distribution(ref, reward, Config(1 / 3, root=False)).exp()
    assert_close(got.tolist(), [0.75, 0.25, 0.0])
    got = log_distribution(ref, reward, Config(math.sqrt(7 / 18), root=True)).exp()
    assert_close(got.tolist(), [0.75, 0.25, 0.0])


def check_no_distribution_is_worth_more(log_distribution):
    for root in (False, True):
        for strength in (0.02, 0.3, 0.7):
            best = log_distribution(REF, PROXY, Config(strength, root))

            def worth(log_probs, strength=strength, root=root):
                distance = chi2(log_probs, REF).clamp(min=0)
                penalty = distance.sqrt() if root else distance
                return expectation(log_probs, PROXY) - strength * penalty

            rivals = [*random_distributions(20), REF]
            rivals += [optimal_policy_chi2(REF, PROXY, c) for c in (0.05, 0.2, 1.0)]
            assert all(worth(rival) <= worth(best) + 1e-12 for rival in rivals)


def check_a_root_penalty_as_strong_as_the_spread_leaves_the_reference(log_distribution):
    for scale in (0.5, 3.0):
        for factor in (1.001, 10.0):
            cfg = Config(factor * scale * SPREAD)
            assert_close(log_distribution(REF, scale * PROXY, cfg), REF)
        moved = log_distribution(REF, scale * PROXY, Config(0.9 * scale * SPREAD))
        assert chi2(moved, REF) > 1e-2


def check_prompts_are_solved_apart_and_unwritten_responses_stay_so(log_distribution):
    world = Reviews(max_words=3)
    ref = world.author.clone()
    ref[:, world.gold[0].argmax()] = -torch.inf
    ref = ref.log_softmax(-1)
    for root in (False, True):
        both = log_distribution(ref, world.gold, Config(0.4, root))
        assert_close(
            both[2], log_distribution(ref[2], world.gold[2], Config(0.4, root))
        )
        assert_close(both.logsumexp(-1), torch.zeros(4, dtype=F64))
        assert (both[ref == -torch.inf] == -torch.inf).all()


CHECKS = [
    check_hand_numbers,
    check_no_distribution_is_worth_more,
    check_a_root_penalty_as_strong_as_the_spread_leaves_the_reference,
    check_prompts_are_solved_apart_and_unwritten_responses_stay_so,
]


@pytest.mark.parametrize("check", CHECKS)
def test_distribution_passes(check):
    check(log_distribution)


@pytest.mark.parametrize("name", mistakes)
def test_mistake_is_caught(name):
    assert_caught(mistakes[name], CHECKS)


def test_root_is_the_plain_penalty_with_a_strength_of_its_own():
    """d√χ² = dχ²/(2√χ²): c = λ/(2√χ²) at the optimum."""
    for strength in (0.05, 0.3, 0.7 * SPREAD):
        best = log_distribution(REF, PROXY, Config(strength))
        c = strength / (2 * chi2(best, REF).sqrt().item())
        want = optimal_policy_chi2(REF, PROXY, c)
        assert_close(best.exp(), want.exp(), atol=1e-10, rtol=0)


def test_weak_penalties_leave_only_the_best_response():
    for root in (False, True):
        got = log_distribution(REF, PROXY, Config(1e-6, root)).exp()
        assert got[PROXY.argmax()] == 1


def test_where_nothing_is_left_out_the_tilt_is_one_plus_the_centred_reward():
    """u = 1 + (R − E_ref[R])/(2c), and χ² = Var_ref(R)/(4c²)."""
    c = 5.0
    best = log_distribution(REF, PROXY, Config(c, root=False))
    assert_close((best - REF).exp(), 1 + (PROXY - expectation(REF, PROXY)) / (2 * c))
    assert_close(chi2(best, REF).item(), SPREAD**2 / (4 * c**2))


def golds():
    """Gold rewards of many correlations with the proxy, of both signs."""
    return [a * PROXY + (1 - abs(a)) * random(9, N) for a in (-0.5, 0.0, 0.2, 0.7, 1.0)]


def test_gold_of_every_distribution_is_above_its_floor():
    path = [
        log_distribution(REF, PROXY, Config(c, root=False)) for c in (0.01, 0.1, 1.0)
    ]
    for gold in golds():
        for rival in [*random_distributions(20), *path, REF]:
            floor = gold_floor(rival, REF, PROXY, gold)
            assert floor <= expectation(rival, gold) + 1e-10
        assert_close(gold_floor(REF, REF, PROXY, gold), expectation(REF, gold))


def test_floor_is_reached_where_the_distribution_moves_against_the_error_of_the_proxy():
    """u − 1 ∝ −(gold − its regression on the proxy): Cauchy–Schwarz is an equality."""
    for gold in golds()[:-1]:
        slope = covariance(REF, PROXY, gold) / SPREAD**2
        error = gold - slope * PROXY
        error = error - expectation(REF, error)
        rival = REF + (1 - 0.5 * error / error.abs().max()).log()
        floor = gold_floor(rival, REF, PROXY, gold)
        assert_close(floor, expectation(rival, gold), atol=1e-10, rtol=0)


@pytest.mark.parametrize("share", [0.3, 0.8, 0.95])
def test_best_guaranteed_gold_is_a_root_optimum_and_needs_half_the_variance(share):
    """λ = sd(R) √(1 − ρ²)/ρ; for ρ² ≤ ½ it is at least sd(R): π_ref stays."""
    noise = random(9, N)
    noise = noise - PROXY * covariance(REF, PROXY, noise) / SPREAD**2
    noise = noise / covariance(REF, noise, noise).sqrt()
    gold = share * PROXY / SPREAD + math.sqrt(1 - share**2) * noise  # ρ = share
    strength = SPREAD * math.sqrt(1 - share**2) / share
    best = log_distribution(REF, PROXY, Config(strength))
    top = gold_floor(best, REF, PROXY, gold)
    path = [log_distribution(REF, PROXY, Config(c)) for c in (0.1, 0.3, 0.6, 0.9)]
    assert all(
        gold_floor(r, REF, PROXY, gold) <= top + 1e-9
        for r in random_distributions(20) + path
    )
    if share**2 <= 0.5:
        assert_close(best, REF)
    else:
        assert top > expectation(REF, gold) + 1e-3
