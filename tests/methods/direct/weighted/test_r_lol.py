"""Reward-LoL by hand, its policy gradient, and where the clip lets it rest."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import TREE, random, random_logps
from tests.methods.scored import (
    clipped_tilt,
    constants_gradient,
    hand,
    per_token,
    population_gradient,
    pulls,
)
from workbench.methods.direct.weighted import r_lol, wbc

CFG = r_lol.Config(clip=0.4)
N = TREE.n_responses


def check_hand_numbers(loss):
    """Ratios 3/2, 1/10, 3 and 6/5 become 1.4, 0.6, 1.4 and 1.2."""
    parts = zip(
        (2, 1, -0.5, 3), (1.4, 0.6, 1.4, 1.2), (0.15, 0.05, 0.9, 0.15), strict=True
    )
    by_hand = [-r * w * math.log(p) for r, w, p in parts]
    assert_close(loss(hand(), CFG).tolist(), by_hand)


def check_the_weight_is_a_constant_inside_and_outside_the_clip(loss):
    """r w on each response token; a clipped weight pulls on, unlike PPO's."""
    by_hand = per_token([[2.8, 2.8], [0.6], [-0.7], [3.6, 3.6, 3.6]])
    assert_close(pulls(loss, hand(), CFG), by_hand)


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert constants_gradient(loss, hand(), CFG, ("ref",)) == 0


def check_unclipped_it_is_the_policy_gradient(loss):
    """E_ref[(π/π_ref) r ∇log π] = ∇E_π[r], at a policy far from the reference."""
    at, ref, reward = random(4, N).requires_grad_(), random_logps(1), random(3, N)
    expected = torch.autograd.grad(at.softmax(-1) @ reward, at)[0]
    cfg = r_lol.Config(clip=math.inf)
    found = population_gradient(loss, cfg, at.detach(), ref, ref, reward)
    assert_close(found, -expected)


def check_it_rests_at_the_clipped_tilt(loss):
    """u = (1 ∓ ε) r/C below and above C: the gradient is 0 there, for two ε."""
    ref, reward = random_logps(1), random(3, N).exp()
    for clip in (0.4, 0.9):
        best = clipped_tilt(ref, reward, clip)
        cfg = r_lol.Config(clip=clip)
        gradient = population_gradient(loss, cfg, best, ref, ref, reward)
        assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_numbers,
    check_the_weight_is_a_constant_inside_and_outside_the_clip,
    check_reference_gets_no_gradient,
    check_unclipped_it_is_the_policy_gradient,
    check_it_rests_at_the_clipped_tilt,
]


def test_clip_0_is_weighted_cloning():
    cfg, other = r_lol.Config(clip=0.0), wbc.Config()
    assert_close(r_lol.loss(hand(), cfg), wbc.loss(hand(), other))
    assert_close(pulls(r_lol.loss, hand(), cfg), pulls(wbc.loss, hand(), other))


def test_the_function_under_the_clip_is_concave():
    """G′ = clip(u, 1 ± ε)/u never rises, so that the resting place is a minimum."""
    ratio = torch.linspace(0.01, 4, 2000)
    slope = ratio.clamp(0.6, 1.4) / ratio
    assert (slope.diff() <= 1e-6).all() and (slope > 0).all()


@pytest.mark.parametrize("clip", [0.4, 0.9])
def test_the_clipped_tilt_beats_other_distributions(clip):
    """E_ref[r G(u)] is largest there; G integrates clip(u, 1 ± ε)/u from u = 1."""
    ref, reward = random_logps(1), random(3, N).exp()
    low, high = 1 - clip, 1 + clip

    def value(logps):
        ratio = (logps - ref).exp()
        below = low * (ratio / low).log() + low
        above = high * (ratio / high).log() + high
        inside = torch.where(ratio > high, above, ratio)
        return ref.exp() @ (reward * torch.where(ratio < low, below, inside))

    best = clipped_tilt(ref, reward, clip)
    assert_close(best.logsumexp(-1).abs().item(), 0.0, atol=1e-9, rtol=0)
    for seed in range(20):
        other = (best + 0.3 * random(seed, N)).log_softmax(-1)
        assert value(other) < value(best)


def test_unclipped_nothing_holds_it():
    """The gain keeps its sign up to the best response: nothing is stationary."""
    ref, reward = random_logps(1), random(3, N).exp()
    cfg = r_lol.Config(clip=math.inf)
    for sharp in (1.0, 3.0, 10.0):
        at = (ref + sharp * reward).log_softmax(-1)
        gradient = population_gradient(r_lol.loss, cfg, at, ref, ref, reward)
        assert gradient[reward.argmax()] < 0
