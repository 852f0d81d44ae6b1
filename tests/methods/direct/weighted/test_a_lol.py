"""A-LoL by hand, its policy gradient, and where the clip lets it rest."""

import math

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
from workbench.methods.direct.weighted import a_lol, a_lol_ref_free, r_lol
from workbench.methods.supervised import sft
from workbench.worlds.solutions import expectation

CFG = a_lol.Config(clip=0.4)
N = TREE.n_responses


def check_hand_numbers(loss):
    """A = 1.5, 0.4, 0 and 2 with weights 1.4, 0.6, 1.4 and 1.2."""
    parts = zip(
        (1.5, 0.4, 0, 2), (1.4, 0.6, 1.4, 1.2), (0.15, 0.05, 0.9, 0.15), strict=True
    )
    by_hand = [-a * w * math.log(p) for a, w, p in parts]
    assert_close(loss(hand(), CFG).tolist(), by_hand)


def check_the_weight_is_a_constant_inside_and_outside_the_clip(loss):
    """A w on each response token; a clipped weight pulls on, unlike PPO's."""
    by_hand = per_token([[2.1, 2.1], [0.24], [0], [2.4, 2.4, 2.4]])
    assert_close(pulls(loss, hand(), CFG), by_hand)


def check_constants_get_no_gradient(loss):
    """The reference is frozen, and so is the advantage with its value head."""
    names = ("ref", "scores", "baseline")
    assert constants_gradient(loss, hand(), CFG, names) == 0


def check_unclipped_it_is_the_policy_gradient_of_the_advantage(loss):
    """E_ref[(π/π_ref) A ∇log π] = ∇E_π[A], A = max(0, r − E_ref[r])."""
    at, ref, reward = random(4, N).requires_grad_(), random_logps(1), random(3, N)
    value = expectation(ref, reward).expand(N)
    advantage = (reward - value).clamp(min=0)
    expected = torch.autograd.grad(at.softmax(-1) @ advantage, at)[0]
    cfg = a_lol.Config(clip=math.inf)
    found = population_gradient(loss, cfg, at.detach(), ref, ref, reward, value)
    assert_close(found, -expected)


def check_it_rests_at_the_clipped_tilt(loss):
    """Where all advantages are positive, here with V below every reward."""
    ref, reward = random_logps(1), random(3, N)
    value = (reward.min() - 0.2).expand(N)
    best = clipped_tilt(ref, reward - value, CFG.clip)
    gradient = population_gradient(loss, CFG, best, ref, ref, reward, value)
    assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_numbers,
    check_the_weight_is_a_constant_inside_and_outside_the_clip,
    check_constants_get_no_gradient,
    check_unclipped_it_is_the_policy_gradient_of_the_advantage,
    check_it_rests_at_the_clipped_tilt,
]


def test_clip_0_is_the_reference_free_variant():
    cfg, other = a_lol.Config(clip=0.0), a_lol_ref_free.Config()
    assert_close(a_lol.loss(hand(), cfg), a_lol_ref_free.loss(hand(), other))
    expected = pulls(a_lol_ref_free.loss, hand(), other)
    assert_close(pulls(a_lol.loss, hand(), cfg), expected)


def test_value_0_and_positive_rewards_are_reward_lol():
    batch = hand(scores=(2.0, 1.0, 0.5, 3.0), baseline=(0.0, 0.0, 0.0, 0.0))
    assert_close(a_lol.loss(batch, CFG), r_lol.loss(batch, CFG))
    assert_close(pulls(a_lol.loss, batch, CFG), pulls(r_lol.loss, batch, CFG))


def test_equal_advantages_at_the_reference_are_sft():
    """π = π_ref makes the weight 1; A = 2 everywhere leaves 2 · SFT."""
    start = hand(scores=(2.5, 2.6, 2.5, 3.0))
    start = type(start)(start.ref, start.ref, start.mask, start.scores, start.baseline)
    expected = start.advantage * sft.loss(start, sft.Config())
    assert_close(start.advantage.tolist(), [2.0, 2.0, 2.0, 2.0])
    assert_close(a_lol.loss(start, CFG), expected)


def test_dropped_responses_have_neither_loss_nor_gradient():
    batch = hand(scores=(0.1, 0.2, 0.3, 0.4))
    assert batch.advantage.tolist() == [0, 0, 0, 0]
    assert a_lol.loss(batch, CFG).abs().max() == 0
    assert pulls(a_lol.loss, batch, CFG).abs().max() == 0


def test_unclipped_it_ends_on_the_largest_advantage():
    """Exact policy-gradient steps on E_ref[L] leave the best response with all mass."""
    ref, reward = random_logps(1), random(3, N)
    value, at = expectation(ref, reward).expand(N), ref
    cfg = a_lol.Config(clip=math.inf)
    for _ in range(300):
        at = at - 2 * population_gradient(a_lol.loss, cfg, at, ref, ref, reward, value)
    assert at.softmax(-1)[reward.argmax()] > 0.9
