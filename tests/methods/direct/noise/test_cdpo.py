"""cDPO by hand, as DPO plus a line, and its bias under flipped labels."""

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
    single_tokens,
)
from workbench.methods.direct.links import dpo
from workbench.methods.direct.noise import cdpo
from workbench.worlds.solutions import optimal_policy

CFG = cdpo.Config(beta=0.4, epsilon=0.2)
N = TREE.n_responses


def hand():
    """One pair: d(y_c) = (−1 + 2) + (−2 + 2.5) = 1.5, d(y_r) = −3 + 2 = −1, D = 2.5."""
    return pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])


def check_hand_number(loss):
    """M = 1: 0.8·log(1 + e^−1) + 0.2·log(1 + e) = 0.51326."""
    by_hand = 0.8 * math.log1p(math.exp(-1)) + 0.2 * math.log1p(math.e)
    assert_close(loss(hand(), CFG).tolist(), [by_hand])


def check_push_is_the_label_minus_the_guess(loss):
    """β(0.8 − σ(1)) up on each token of y_c, down on y_r."""
    batch = hand()
    push = 0.4 * (0.8 - 1 / (1 + math.exp(-1)))
    up, down = pulls(loss, batch, CFG)
    assert_close(up, push * batch.chosen_mask.to(F64))
    assert_close(down, -push * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert reference_gradients(loss, hand(), CFG) == 0


def check_a_hard_pair_is_at_rest_at_the_log_odds(loss):
    """M = log(0.8/0.2) = log 4: no push, and less or more than that pushes back."""
    rejected = torch.tensor([-1.5], dtype=F64)
    ups = []
    for log_odds in (1.3, math.log(4), 1.5):
        batch = single_tokens(rejected + log_odds / CFG.beta, rejected)
        ups.append(pulls(loss, batch, CFG)[0].sum().item())
    assert abs(ups[1]) < 1e-12 and ups[0] > 1e-3 and ups[2] < -1e-3


def check_it_is_dpo_on_labels_with_flips_added(loss):
    """Labels p with 0.8·p + 0.2·(1 − p) = σ(r_i − r_j): π ∝ π_ref exp(r/β) rests."""
    ref, reward = random_logps(1), 0.4 * random(2, N)
    prefers = ((reward[:, None] - reward).sigmoid() - 0.2) / 0.6
    weight = random(3, N, N).exp()
    best = optimal_policy(ref, reward, CFG.beta)
    gradient = population_gradient(loss, CFG, best, ref, prefers, weight + weight.T)
    assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_push_is_the_label_minus_the_guess,
    check_reference_gets_no_gradient,
    check_a_hard_pair_is_at_rest_at_the_log_odds,
    check_it_is_dpo_on_labels_with_flips_added,
]


def test_loss_is_the_link_of_the_margin():
    batch = all_pairs(random_logps(4), random_logps(1))
    assert_close(cdpo.loss(batch, CFG), cdpo.link(batch.margin(), CFG))


def test_weight_is_minus_the_slope_of_the_link():
    margin = (5 * random(5, 9)).requires_grad_()
    cdpo.link(margin, CFG).sum().backward()
    assert_close(cdpo.weight(margin.detach(), CFG), -margin.grad)


def test_it_is_dpo_plus_epsilon_times_the_scaled_margin():
    batch = all_pairs(random_logps(4), random_logps(1))
    line = CFG.epsilon * CFG.beta * batch.margin()
    assert_close(cdpo.loss(batch, CFG), dpo.loss(batch, CFG) + line)


def test_epsilon_0_is_dpo():
    cfg, batch = (
        cdpo.Config(beta=0.4, epsilon=0.0),
        all_pairs(random_logps(4), random_logps(1)),
    )
    assert_close(cdpo.loss(batch, cfg), dpo.loss(batch, CFG))


@pytest.mark.parametrize("flips", [0.0, 0.2])
def test_the_optimal_policy_is_not_stationary_with_clean_or_flipped_labels(flips):
    ref, reward = random_logps(1), 2 * random(2, N)
    clean = (reward[:, None] - reward).sigmoid()
    seen = (1 - flips) * clean + flips * (1 - clean)
    best = optimal_policy(ref, reward, CFG.beta)
    gradient = population_gradient(
        cdpo.loss, CFG, best, ref, seen, torch.ones_like(seen)
    )
    assert gradient.abs().max() > 0.1


def test_implicit_rewards_of_a_free_pair_are_shrunk():
    """At M = r the push is below 0: the minimiser has 0 < M < r, here for r = 1."""
    win = 1 / (1 + math.exp(-1))

    def push(scaled):
        at = torch.tensor(scaled / CFG.beta, dtype=F64)
        return win * cdpo.weight(at, CFG) - (1 - win) * cdpo.weight(-at, CFG)

    assert push(0.0) > 0.01 and push(1.0) < -0.01
    smoothed = 0.8 * win + 0.2 * (1 - win)
    assert abs(push(math.log(smoothed / (1 - smoothed)))) < 1e-12
