"""f-DPO by hand, its gradient, and its optimum for every divergence."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.pairwise import (
    all_pairs,
    pair,
    population_gradient,
    pulls,
    reference_gradients,
)
from workbench.core.divergences import (
    CHI2_KL,
    FORWARD_KL,
    JENSEN_SHANNON,
    REVERSE_KL,
    alpha,
)
from workbench.methods.direct.links import dpo, f_dpo
from workbench.teach.properties import PROPERTIES, Subject
from workbench.worlds.solutions import optimal_policy_f

ALL = [REVERSE_KL, FORWARD_KL, JENSEN_SHANNON, CHI2_KL, alpha(0.3), alpha(0.7)]
each = pytest.mark.parametrize("divergence", ALL, ids=lambda d: d.name)
LOG2, LOG3 = math.log(2), math.log(3)
N = TREE.n_responses


def hand_batch():
    """u_c = e^(2 log 2 − log 2) = 2 over two tokens, u_r = 1/3 over one token."""
    return pair(
        [-1.0, -2.0], [-2.0 - LOG3], [-1.0 - 2 * LOG2, -2.0 + LOG2], [-2.0]
    )  # fmt: skip


def configs():
    return [f_dpo.Config(beta=0.6, divergence=d) for d in ALL]


def check_hand_numbers(loss):
    """β = 0.6, u = 2 and 1/3; M = 0.6 (f′(2) − f′(1/3)).

    log u: log 6. 1 − 1/u: ½ + 2. log 2u/(1+u): log 4/3 − log ½. u + log u: 5/3 + log 6.
    (1 − u^−α)/α: (3^α − 2^−α)/α.
    """
    slopes = [
        math.log(6),
        2.5,
        math.log(8 / 3),
        5 / 3 + math.log(6),
        (3**0.3 - 2**-0.3) / 0.3,
        (3**0.7 - 2**-0.7) / 0.7,
    ]
    for cfg, gap in zip(configs(), slopes, strict=True):
        want = math.log1p(math.exp(-0.6 * gap))
        assert_close(loss(hand_batch(), cfg).tolist(), [want])


def check_push_on_each_response_is_weighted_by_the_curvature(loss):
    """−dL/d log π = ±β σ(−M) u f″(u): at u = 2 and 1/3, alike on every token.

    u f″(u): 1; 1/u; 1/(1 + u); 1 + u; u^−α.
    """
    bends = [(1, 1), (0.5, 3), (1 / 3, 0.75), (3, 4 / 3)]
    bends += [(2**-0.3, 3**0.3), (2**-0.7, 3**0.7)]
    batch = hand_batch()
    for cfg, (up, down) in zip(configs(), bends, strict=True):
        chosen, rejected = pulls(loss, batch, cfg)
        error = 1 - math.exp(-loss(batch, cfg).item())  # σ(−M)
        assert_close(chosen, 0.6 * error * up * batch.chosen_mask.to(F64))
        assert_close(rejected, -0.6 * error * down * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    assert all(reference_gradients(loss, hand_batch(), c) == 0 for c in configs())


def check_optimum_of_the_divergence_is_stationary(loss):
    """β(f′(u_i) − f′(u_j)) = r_i − r_j: the errors of both orders cancel."""
    ref, reward = random_logps(1), 2 * random(2, N)
    weight = random(3, N, N).exp()
    prefers = (reward[:, None] - reward).sigmoid()
    for cfg in configs():
        best = optimal_policy_f(ref, reward, cfg.beta, cfg.divergence)
        gradient = population_gradient(loss, cfg, best, ref, prefers, weight + weight.T)
        assert gradient.abs().max() < 1e-9


CHECKS = [
    check_hand_numbers,
    check_push_on_each_response_is_weighted_by_the_curvature,
    check_reference_gets_no_gradient,
    check_optimum_of_the_divergence_is_stationary,
]


@each
@pytest.mark.parametrize("name", PROPERTIES)
def test_generic_properties_hold_for_each_divergence(divergence, name):
    cfg = f_dpo.Config(beta=0.3, divergence=divergence)
    subject = Subject(f_dpo.loss, type(hand_batch()), cfg)
    assert PROPERTIES[name](subject) is None


def test_reverse_kl_is_dpo():
    batch = all_pairs(random_logps(4), random_logps(1))
    cfg = f_dpo.Config(beta=0.4, divergence=REVERSE_KL)
    assert_close(f_dpo.loss(batch, cfg), dpo.loss(batch, dpo.Config(beta=0.4)))


def test_alpha_runs_from_dpo_to_the_forward_kl():
    batch = all_pairs(random_logps(4), random_logps(1))
    for a, limit in ((1e-9, REVERSE_KL), (1 - 1e-9, FORWARD_KL)):
        near = f_dpo.loss(batch, f_dpo.Config(beta=0.4, divergence=alpha(a)))
        want = f_dpo.loss(batch, f_dpo.Config(beta=0.4, divergence=limit))
        assert_close(near, want, atol=1e-6, rtol=1e-6)


def test_every_divergence_starts_as_dpo_does():
    """u f″(u) is 1 at u = 1, and 2 for χ²/2 + KL, ½ for Jensen–Shannon."""
    batch = all_pairs(random_logps(1), random_logps(1))
    want = pulls(dpo.loss, batch, dpo.Config(beta=0.4))
    factor = {CHI2_KL: 2.0, JENSEN_SHANNON: 0.5}
    for divergence in ALL:
        cfg = f_dpo.Config(beta=0.4, divergence=divergence)
        got = pulls(f_dpo.loss, batch, cfg)
        for g, w in zip(got, want, strict=True):
            assert_close(g, factor.get(divergence, 1.0) * w)


@each
def test_implicit_reward_of_the_optimum_is_the_reward_up_to_a_constant(divergence):
    ref, gold = random_logps(1), 2 * random(2, N)
    cfg = f_dpo.Config(beta=0.6, divergence=divergence)
    best = optimal_policy_f(ref, gold, cfg.beta, divergence)
    batch = all_pairs(best, ref)
    gap = f_dpo.implicit_reward(batch.chosen, cfg) - f_dpo.implicit_reward(
        batch.rejected, cfg
    )
    assert_close(gap, (gold[:, None] - gold).flatten(), atol=1e-8, rtol=0)


def test_optimum_of_another_divergence_is_not_stationary():
    ref, gold = random_logps(1), 2 * random(2, N)
    prefers = (gold[:, None] - gold).sigmoid()
    cfg = f_dpo.Config(beta=0.6, divergence=alpha(0.3))
    for other in (REVERSE_KL, alpha(0.7)):
        best = optimal_policy_f(ref, gold, cfg.beta, other)
        gradient = population_gradient(
            f_dpo.loss, cfg, best, ref, prefers, torch.ones_like(prefers)
        )
        assert gradient.abs().max() > 1e-2
