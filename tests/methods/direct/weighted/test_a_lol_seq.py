"""A-LoL with token weights by hand, and the one-step improvement it stops at."""

import math
from dataclasses import replace

import torch
from torch.testing import assert_close

from tests.methods.enumerated import TREE, random, random_logps
from tests.methods.scored import (
    clipped_tilt,
    constants_gradient,
    every_response,
    hand,
    per_token,
    population_gradient,
    pulls,
)
from workbench.methods.direct.weighted import a_lol, a_lol_ref_free, a_lol_seq
from workbench.worlds.solutions import expectation

CFG = a_lol_seq.Config(clip=0.4)
N = TREE.n_responses


def reference_q(ref, advantage):
    """Q(s, a) = E_ref[A | s, a] at every prefix, by backing up to the root."""
    conditionals = TREE.conditionals(ref)
    values = torch.zeros(TREE.n_nodes, dtype=ref.dtype)
    for _ in range(TREE.depth):
        q = TREE.action_values(values, advantage)
        values = expectation(conditionals, q)
    return q


def check_hand_numbers(loss):
    """Token ratios 2, 3/4 | 1/10 | 3 | 6/5, 1, 1 become 1.4, 0.75 | 0.6 | 1.4 | …"""
    log = math.log
    by_hand = [
        -1.5 * (1.4 * log(0.5) + 0.75 * log(0.3)),
        -0.4 * 0.6 * log(0.05),
        0.0,
        -2 * (1.2 * log(0.6) + 2 * log(0.5)),
    ]
    assert_close(loss(hand(), CFG).tolist(), by_hand)


def check_each_weight_is_a_constant(loss):
    """A w_t on each response token, inside and outside the clip."""
    by_hand = per_token([[2.1, 1.125], [0.24], [0], [2.4, 2, 2]])
    assert_close(pulls(loss, hand(), CFG), by_hand)


def check_constants_get_no_gradient(loss):
    """The reference is frozen, and so is the advantage with its value head."""
    names = ("ref", "scores", "baseline")
    assert constants_gradient(loss, hand(), CFG, names) == 0


def check_unclipped_it_improves_on_the_reference_by_one_step(loss):
    """−∇Σ_s π_ref(s) Σ_a π(a|s) Q(s, a), at a policy far from the reference."""
    at, ref, reward = random(4, N).requires_grad_(), random_logps(1), random(3, N)
    value = expectation(ref, reward).expand(N)
    q = reference_q(ref, (reward - value).clamp(min=0))
    reach = TREE.reach_logps(TREE.conditionals(ref)).exp()
    conditionals = TREE.conditionals(at.log_softmax(-1))
    total = (reach[:, None] * conditionals.exp() * q).sum()
    expected = torch.autograd.grad(total, at)[0]
    cfg = a_lol_seq.Config(clip=math.inf)
    found = population_gradient(loss, cfg, at.detach(), ref, ref, reward, value)
    assert_close(found, -expected)


def check_it_rests_at_the_clipped_tilt_of_every_prefix(loss):
    """u = (1 ∓ ε) Q/C at each prefix, where all advantages are positive."""
    ref, reward = random_logps(1), random(3, N)
    value = (reward.min() - 0.2).expand(N)
    tilt = clipped_tilt(
        TREE.conditionals(ref), reference_q(ref, reward - value), CFG.clip
    )
    best = TREE.response_logps(tilt)
    gradient = population_gradient(loss, CFG, best, ref, ref, reward, value)
    assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_numbers,
    check_each_weight_is_a_constant,
    check_constants_get_no_gradient,
    check_unclipped_it_improves_on_the_reference_by_one_step,
    check_it_rests_at_the_clipped_tilt_of_every_prefix,
]


def test_responses_of_one_token_are_a_lol():
    batch = hand()
    first = replace(batch, mask=batch.mask & (batch.mask.cumsum(-1) == 1))
    assert_close(a_lol_seq.loss(first, CFG), a_lol.loss(first, CFG))
    assert_close(pulls(a_lol_seq.loss, first, CFG), pulls(a_lol.loss, first, CFG))


def test_clip_0_is_the_reference_free_variant():
    cfg, other = a_lol_seq.Config(clip=0.0), a_lol_ref_free.Config()
    assert_close(a_lol_seq.loss(hand(), cfg), a_lol_ref_free.loss(hand(), other))
    expected = pulls(a_lol_ref_free.loss, hand(), other)
    assert_close(pulls(a_lol_seq.loss, hand(), cfg), expected)


def test_at_the_reference_it_has_the_gradient_of_a_lol():
    """All ratios are 1 there."""
    ref, reward = random_logps(1), random(3, N)
    batch = every_response(ref, ref, reward)
    assert_close(pulls(a_lol_seq.loss, batch, CFG), pulls(a_lol.loss, batch, CFG))


def test_one_step_improvement_need_not_find_the_best_response():
    """A = 4 behind a first word whose other ends are worth nothing: Q prefers A = 2."""
    ref = torch.full((N,), 1 / N, dtype=torch.float64).log()
    advantage = torch.zeros(N, dtype=torch.float64)
    best, common = TREE.index([0, 1]), TREE.index([1])
    advantage[best] = 4.0
    advantage[[common, *(TREE.index([1, w]) for w in range(3))]] = 2.0
    root = reference_q(ref, advantage)[0]
    assert root.argmax() == 1 and root[0] == 1.0 and root[1] == 2.0
