"""Divergences: generator, slope, inverse and conjugate agree; values by hand."""

import dataclasses
import json
import math

import pytest
import torch
from torch.testing import assert_close

from workbench.core.divergences import (
    CHI2_KL,
    FORWARD_KL,
    JENSEN_SHANNON,
    PEARSON,
    REVERSE_KL,
    SQUARED_HELLINGER,
    TOTAL_VARIATION,
    alpha,
)
from workbench.core.errors import BadOption

F64 = torch.float64
ALL = [REVERSE_KL, FORWARD_KL, JENSEN_SHANNON, CHI2_KL, alpha(0.3), alpha(0.7)]
each = pytest.mark.parametrize("divergence", ALL, ids=lambda d: d.name)
LOGRATIOS = torch.linspace(-4, 4, 33, dtype=F64)


@each
def test_slope_is_the_derivative_of_the_generator(divergence):
    u = LOGRATIOS.exp().requires_grad_()
    divergence.generator(u).sum().backward()
    assert_close(divergence.slope(LOGRATIOS), u.grad)


@each
def test_generator_and_slope_are_zero_at_one(divergence):
    assert divergence.generator(torch.ones(1, dtype=F64)).abs() < 1e-15
    assert divergence.slope(torch.zeros(1, dtype=F64)).abs() < 1e-15


@each
def test_generator_is_convex_and_never_negative(divergence):
    u = torch.linspace(0.05, 9, 400, dtype=F64)
    value = divergence.generator(u)
    assert (value >= 0).all()
    assert (value[2:] - 2 * value[1:-1] + value[:-2] > 0).all()


@each
def test_density_undoes_the_slope(divergence):
    d = torch.linspace(-30, 8, 77, dtype=F64)
    assert_close(divergence.log_density(divergence.slope(d)), d, atol=1e-7, rtol=0)
    v = divergence.slope(LOGRATIOS)
    assert_close(divergence.density(v), LOGRATIOS.exp(), atol=0, rtol=1e-11)


@each
def test_slope_rises_to_its_supremum_and_falls_without_end(divergence):
    far = divergence.slope(torch.tensor([-1e9, -1e3, 70.0], dtype=F64))
    assert far[0] <= far[1] < -70
    if divergence.supremum < math.inf:
        assert far[2].item() == pytest.approx(divergence.supremum)
        assert (divergence.slope(LOGRATIOS) < divergence.supremum).all()
    else:
        assert far[2] >= 70
    # and the supremum is the price per unit of far-away mass: lim f(u)/u
    u = torch.tensor([1e12], dtype=F64)
    price = (divergence.generator(u) / u).item()
    assert price > 20 or price == pytest.approx(divergence.supremum, rel=1e-3)


@each
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_slope_and_its_gradient_are_finite_everywhere(divergence, dtype):
    d = torch.tensor([-600.0, -90, 90, 600], dtype=dtype, requires_grad=True)
    value = divergence.slope(d)
    value.sum().backward()
    assert value.isfinite().all()
    assert d.grad.isfinite().all()


@each
def test_a_run_can_record_which_divergence_it_used(divergence):
    told = json.loads(json.dumps(dataclasses.asdict(divergence)))
    assert told["name"] == divergence.name


def test_values_by_hand_at_twice_the_reference():
    """u = 2: log 2; 1 − 1/2; log 4/3; 1 + log 2; α = ½: 2(1 − 1/√2)."""
    d = torch.tensor([math.log(2)], dtype=F64)
    want = {
        REVERSE_KL: math.log(2),
        FORWARD_KL: 0.5,
        JENSEN_SHANNON: math.log(4 / 3),
        CHI2_KL: 1 + math.log(2),
        alpha(0.5): 2 - math.sqrt(2),
    }
    for divergence, slope in want.items():
        assert divergence.slope(d).item() == pytest.approx(slope)


def test_generators_by_hand_where_the_policy_says_never():
    """f(0): 1; ∞; log 2; ½ + 1; α = ¼: 1/(1 − ¼)."""
    zero = torch.zeros(1, dtype=F64)
    want = {
        REVERSE_KL: 1.0,
        FORWARD_KL: math.inf,
        JENSEN_SHANNON: math.log(2),
        CHI2_KL: 1.5,
        alpha(0.25): 4 / 3,
    }
    for divergence, value in want.items():
        assert divergence.generator(zero).item() == pytest.approx(value)


def test_alpha_lies_between_reverse_and_forward_kl():
    for a, limit in ((1e-9, REVERSE_KL), (1 - 1e-9, FORWARD_KL)):
        close = alpha(a).slope(LOGRATIOS)
        assert_close(close, limit.slope(LOGRATIOS), atol=1e-6, rtol=1e-6)
    u = LOGRATIOS.exp()
    half = 4 * (1 - u.sqrt()) ** 2 / 2  # four times the squared Hellinger distance
    assert_close(alpha(0.5).generator(u), half)


def test_the_other_direction_of_alpha_is_one_minus_alpha():
    """u f(1/u) generates D_f(π_ref‖π)."""
    u = LOGRATIOS.exp()
    assert_close(u * alpha(0.3).generator(1 / u), alpha(0.7).generator(u))
    assert_close(u * REVERSE_KL.generator(1 / u), FORWARD_KL.generator(u))
    assert_close(u * JENSEN_SHANNON.generator(1 / u), JENSEN_SHANNON.generator(u))


def test_two_divergences_are_equal_if_and_only_if_they_are_the_same():
    assert alpha(0.3) == alpha(0.3) != alpha(0.7)
    assert REVERSE_KL != FORWARD_KL


@pytest.mark.parametrize("a", [0.0, 1.0, -0.2, 1.5])
def test_alpha_outside_its_interval_is_refused_with_its_limits_named(a):
    with pytest.raises(BadOption, match="REVERSE_KL.*FORWARD_KL"):
        alpha(a)


CONJUGATES = [TOTAL_VARIATION, PEARSON, SQUARED_HELLINGER]
each_conjugate = pytest.mark.parametrize("conjugate", CONJUGATES, ids=lambda c: c.name)
# roots up to 10 in steps of 1/4000: Hellinger is a parabola in the root
RATIOS = torch.linspace(0, 10, 40_001, dtype=F64) ** 2


@each_conjugate
def test_conjugate_is_the_supremum_that_defines_it(conjugate):
    """sup over 0 ≤ u ≤ 100: for |t| ≤ ½ of total variation, t ≥ −2 of χ², or any t."""
    low, high = {TOTAL_VARIATION: (-0.5, 0.5), PEARSON: (-2, 5)}.get(conjugate, (-8, 5))
    cost = conjugate.generator(RATIOS)
    for t in torch.linspace(low, high, 14, dtype=F64):
        want = (t * RATIOS - cost).max()
        assert_close(conjugate.value(t), want, atol=1e-6, rtol=0)


def test_where_a_conjugate_is_not_that_of_densities():
    """t = −3: over u ≥ 0 the supremum of χ² is −1, not −0.75. t = 1: TV has none."""
    three, one = torch.tensor(-3.0, dtype=F64), torch.tensor(1.0, dtype=F64)
    assert (three * RATIOS - PEARSON.generator(RATIOS)).max() == -1
    assert PEARSON.value(three) == -0.75
    assert (one * RATIOS - TOTAL_VARIATION.generator(RATIOS)).max() > 50


@each_conjugate
def test_variational_form_of_the_divergence(conjugate):
    """D_f(π‖E) = sup_T E_π[T] − E_E[f*(T)], reached at T = f′(π/E)."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(22, 13, generator=generator, dtype=F64)
    policy, expert = (0.5 * draws[:2]).softmax(-1)
    ratio = (policy / expert).requires_grad_()
    (slope,) = torch.autograd.grad(conjugate.generator(ratio).sum(), ratio)
    truth = expert @ conjugate.generator(ratio.detach())

    def bound(t):
        return policy @ t - expert @ conjugate.value(t)

    assert_close(bound(slope), truth)
    for noise in draws[2:]:
        other = slope + 0.3 * noise
        if conjugate is TOTAL_VARIATION:
            other = other.clamp(-0.5, 0.5)
        assert bound(other) <= truth
