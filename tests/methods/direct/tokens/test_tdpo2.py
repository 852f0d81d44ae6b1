"""TDPO2 by hand, where its gradient stops, and what that leaves at TDPO1's optimum."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import TREE, random
from tests.methods.tokenwise import (
    all_distribution_pairs,
    gradients,
    greedy,
    hand_pair,
    labels,
    node_gradient,
    node_logits,
)
from workbench.methods.direct.links import dpo
from workbench.methods.direct.tokens import tdpo1, tdpo2

CFG = tdpo2.Config(beta=4.0, alpha=0.5)
N = TREE.n_responses


def check_hand_number(loss):
    """M = log 9/7 − ½(½ log 16/7 − log 4/3), 4M = log 729/343: L = log(1 + 343/729)."""
    assert_close(loss(hand_pair(), CFG).tolist(), [math.log(1072 / 729)])


def check_hand_gradient(loss):
    """The push is 4σ(−4M) = 4 · 343/1072; the chosen distribution gets none."""
    found = gradients(loss, hand_pair(), CFG)
    push = 4 * 343 / 1072
    assert_close(found["policy_chosen"].tolist(), [[0.0, -push, -push, 0.0]])
    assert_close(found["policy_rejected"].tolist(), [[0.0, push, 0.0, 0.0]])
    assert found["policy_chosen_distribution"].abs().max() == 0
    expected, none = [-push / 4, -push / 4, 0.0], [0.0] * 3
    assert_close(
        found["policy_rejected_distribution"].tolist(), [[none, expected, none, none]]
    )


def check_reference_gets_no_gradient(loss):
    """Tokens and distributions of the reference are frozen."""
    found = gradients(loss, hand_pair(), CFG)
    assert all(g.abs().max() == 0 for k, g in found.items() if k.startswith("ref"))


def check_start_is_that_of_dpo(loss):
    """At π = π_ref K and its gradient vanish: value and gradient are those of DPO."""
    ref = node_logits(1).log_softmax(-1)
    weight = random(2, N, N).exp()
    batch = all_distribution_pairs(ref, ref)
    assert_close(loss(batch, CFG), dpo.loss(batch, CFG))
    got = node_gradient(loss, CFG, ref, ref, weight)
    assert_close(got, node_gradient(dpo.loss, CFG, ref, ref, weight))


def check_without_alpha_it_is_dpo(loss):
    """α = 0: the distributions are not read at all."""
    batch = all_distribution_pairs(*(node_logits(s).log_softmax(-1) for s in (1, 2)))
    cfg = tdpo2.Config(beta=0.7, alpha=0.0)
    assert_close(loss(batch, cfg), dpo.loss(batch, cfg))
    one, two = gradients(loss, batch, cfg), gradients(dpo.loss, batch, cfg)
    assert all(torch.allclose(one[k], two[k]) for k in one)


CHECKS = [
    check_hand_number,
    check_hand_gradient,
    check_reference_gets_no_gradient,
    check_start_is_that_of_dpo,
    check_without_alpha_it_is_dpo,
]


def test_at_alpha_one_the_value_is_that_of_tdpo1():
    batch = all_distribution_pairs(*(node_logits(s).log_softmax(-1) for s in (1, 2)))
    cfg = tdpo2.Config(beta=0.7, alpha=1.0)
    assert_close(tdpo2.loss(batch, cfg), tdpo1.loss(batch, cfg))
    nothing = tdpo2.mistakes["3 nothing stopped"]
    one, two = gradients(nothing, batch, cfg), gradients(tdpo1.loss, batch, cfg)
    assert all(torch.allclose(one[k], two[k]) for k in one)


def kl_gradient(at, ref, amount):
    """∇ Σ_y c(y) K(y) in next-token logits."""
    logits = at.clone().requires_grad_()
    batch = all_distribution_pairs(logits.log_softmax(-1), ref)
    each = tdpo1.kls(batch)[0].unflatten(0, (N, N))[:, 0]
    return torch.autograd.grad(amount @ each, logits)[0]


def test_at_the_minimiser_of_tdpo1_a_pull_to_the_reference_is_left():
    """∇ = αβ Σ_y c(y) ∇K(y), c(y) = Σ_j w_jy σ(r_j − r_y) σ(r_y − r_j); α = 1."""
    cfg = tdpo2.Config(beta=0.7, alpha=1.0)
    ref, reward = node_logits(3).log_softmax(-1), random(4, N)
    best, _ = greedy(TREE, ref, reward, cfg.beta)
    wins = labels(reward, 5)
    left = node_gradient(tdpo2.loss, cfg, best, ref, wins)
    loses = (reward - reward[:, None]).sigmoid()
    expected = cfg.beta * kl_gradient(best, ref, (wins * loses).sum(0))
    assert_close(left, expected)
    assert left.abs().max() > 0.1
    downhill = (best - left).log_softmax(-1) - best
    assert (left * (best - ref)).sum() > 0 > (downhill * (best - ref)).sum()
