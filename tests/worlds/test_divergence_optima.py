"""Optima under other divergences: stationary, right by hand, and never beaten."""

import math

import pytest
import torch
from torch.testing import assert_close

from workbench.core.divergences import (
    CHI2_KL,
    FORWARD_KL,
    JENSEN_SHANNON,
    REVERSE_KL,
    alpha,
)
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

F64 = torch.float64
WORLD = Reviews(3)
REF, GOLD = WORLD.author, WORLD.gold
ALL = [REVERSE_KL, FORWARD_KL, JENSEN_SHANNON, CHI2_KL, alpha(0.3), alpha(0.7)]
each = pytest.mark.parametrize("divergence", ALL, ids=lambda d: d.name)


def random_distributions(count: int):
    """Random distributions near and far from the reference."""
    generator = torch.Generator().manual_seed(0)
    for k in range(count):
        noise = torch.randn(REF.shape, generator=generator, dtype=F64)
        yield (REF + 0.1 * (k + 1) * noise).log_softmax(-1)


@each
def test_gradient_of_the_regularised_objective_vanishes_at_the_optimum(divergence):
    best = solutions.optimal_policy_f(REF, GOLD, 0.5, divergence)
    logits = best.clone().requires_grad_()
    log_probs = logits.log_softmax(-1)
    worth = solutions.expectation(log_probs, GOLD) - 0.5 * solutions.f_divergence(
        log_probs, REF, divergence
    )
    worth.sum().backward()
    assert logits.grad.abs().max() < 1e-11
    assert solutions.kl(best, REF).min() > 0.05


@pytest.mark.parametrize("beta", [0.5, 20.0])
@each
def test_rewards_differ_by_beta_times_the_slopes(divergence, beta):
    best = solutions.optimal_policy_f(REF, GOLD, beta, divergence)
    shift = GOLD - beta * divergence.slope(best - REF)
    assert_close(shift, shift[:, :1].expand_as(shift), atol=1e-8, rtol=0)


@each
def test_no_other_distribution_is_worth_more(divergence):
    def worth(log_probs):
        return solutions.expectation(log_probs, GOLD) - 0.5 * solutions.f_divergence(
            log_probs, REF, divergence
        )

    top = worth(solutions.optimal_policy_f(REF, GOLD, 0.5, divergence))
    assert all((worth(log_probs) < top).all() for log_probs in random_distributions(20))


def test_reverse_kl_gives_the_optimum_of_dpo_and_its_divergence_is_the_kl():
    best = solutions.optimal_policy_f(REF, GOLD, 0.3, REVERSE_KL)
    assert_close(best, solutions.optimal_policy(REF, GOLD, 0.3))
    assert_close(solutions.f_divergence(best, REF, REVERSE_KL), solutions.kl(best, REF))
    assert_close(solutions.f_divergence(best, REF, FORWARD_KL), solutions.kl(REF, best))


def test_mixed_divergence_is_half_of_chi2_and_one_kl():
    best = solutions.optimal_policy_f(REF, GOLD, 0.3, CHI2_KL)
    want = solutions.chi2(best, REF) / 2 + solutions.kl(best, REF)
    assert_close(solutions.f_divergence(best, REF, CHI2_KL), want)


def test_forward_kl_by_hand():
    """π_ref = (½, ½), r = (1, 0), β = 1: 1/(2 − 2(1 − λ)) + 1/(2 + 2λ) = 1 → λ = 1/√2.

    With f′ = 1 − 1/u, u = 1/(1 − r + λ): 1/λ + 1/(1 + λ) = 2, so 2λ² = 1.
    """
    ref = torch.tensor([0.5, 0.5], dtype=F64).log()
    reward = torch.tensor([1.0, 0.0], dtype=F64)
    got = solutions.optimal_policy_f(ref, reward, 1.0, FORWARD_KL).exp()
    first = math.sqrt(2) / 2
    assert got.tolist() == pytest.approx([first, 1 - first])


@pytest.mark.parametrize("beta", [1e-3, 1e3])
@each
def test_extreme_strengths_give_distributions(divergence, beta):
    got = solutions.optimal_policy_f(REF, GOLD, beta, divergence)
    assert not got.isnan().any()
    assert_close(got.logsumexp(-1), torch.zeros(4, dtype=F64))
    if beta > 1:
        assert solutions.kl(got, REF).max() < 1e-4
    else:
        assert (solutions.expectation(got, GOLD) > GOLD.amax(-1) - 0.1).all()


@each
def test_responses_the_reference_never_writes_stay_unwritten(divergence):
    ref = REF.clone()
    ref[:, GOLD[0].argmax()] = -torch.inf
    ref = ref.log_softmax(-1)
    got = solutions.optimal_policy_f(ref, GOLD, 0.5, divergence)
    assert ((got == -torch.inf) == (ref == -torch.inf)).all()
    assert_close(got.logsumexp(-1), torch.zeros(4, dtype=F64))
    assert solutions.f_divergence(got, ref, divergence).isfinite().all()


def test_mass_where_the_reference_has_none_costs_the_supremum():
    """π = (½, ½), π_ref = (1, 0): E_ref[f(½)] + ½ sup f′."""
    log_probs = torch.tensor([0.5, 0.5], dtype=F64).log()
    ref = torch.tensor([0.0, -torch.inf], dtype=F64)
    assert solutions.f_divergence(log_probs, ref, REVERSE_KL).item() == math.inf
    # KL(π_ref‖π) = log 2, and KL from the mean (¾, ¼) twice
    assert solutions.f_divergence(log_probs, ref, FORWARD_KL).item() == pytest.approx(
        math.log(2)
    )
    middle = torch.tensor([0.75, 0.25], dtype=F64).log()
    want = solutions.kl(log_probs, middle) + solutions.kl(ref, middle)
    got = solutions.f_divergence(log_probs, ref, JENSEN_SHANNON)
    assert got.item() == pytest.approx(want.item())


def test_chi2_optimum_by_hand():
    """π_ref = (½, ½), R = (1, 0): c = ½ gives ν = −½ and (¾, ¼).

    From c = ¼ on, the worse response is left out: ν = 1 − 4c ≥ 0.
    """
    ref = torch.tensor([0.5, 0.5], dtype=F64).log()
    reward = torch.tensor([1.0, 0.0], dtype=F64)
    half = solutions.optimal_policy_chi2(ref, reward, 0.5).exp()
    assert half.tolist() == pytest.approx([0.75, 0.25])
    assert solutions.optimal_policy_chi2(ref, reward, 0.2).exp().tolist() == [1.0, 0.0]


@pytest.mark.parametrize("coefficient", [0.01, 0.3, 3.0])
def test_chi2_optimum_obeys_its_conditions_and_is_beaten_by_no_distribution(
    coefficient,
):
    """R − 2c u is one number where π > 0, and R is at most that number where π = 0."""
    best = solutions.optimal_policy_chi2(REF, GOLD, coefficient)
    assert_close(best.logsumexp(-1), torch.zeros(4, dtype=F64))
    slack = GOLD - 2 * coefficient * (best - REF).exp()
    floor = torch.where(best > -torch.inf, slack, -torch.inf).amax(-1, keepdim=True)
    kept = torch.where(best > -torch.inf, slack, floor)
    assert_close(kept, floor.expand_as(kept))
    assert (slack <= floor + 1e-9).all()

    def worth(log_probs):
        return solutions.expectation(log_probs, GOLD) - coefficient * solutions.chi2(
            log_probs, REF
        )

    assert all(
        (worth(log_probs) < worth(best)).all() for log_probs in random_distributions(20)
    )
    assert (best == -torch.inf).any() == (coefficient < 1)


def test_chi2_optimum_forgets_shifts_and_unwritten_responses():
    shift = torch.tensor([[1.0], [-2.0], [300.0], [0.5]], dtype=F64)
    best = solutions.optimal_policy_chi2(REF, GOLD, 0.3)
    assert_close(solutions.optimal_policy_chi2(REF, GOLD + shift, 0.3), best)
    ref = torch.tensor([-torch.inf, math.log(0.5), math.log(0.5)], dtype=F64)
    reward = torch.tensor([9.0, 1.0, 0.0], dtype=F64)
    got = solutions.optimal_policy_chi2(ref, reward, 0.5).exp()
    assert got.tolist() == pytest.approx([0.0, 0.75, 0.25])
