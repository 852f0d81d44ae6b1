"""WPO by hand: what a weight is, that it is a constant, and what it leaves alone."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random
from tests.methods.tokenwise import (
    all_distribution_pairs,
    distribution_pair,
    gradients,
    hand_pair,
    labels,
    node_gradient,
    node_logits,
    side,
)
from workbench.methods.direct.links import dpo
from workbench.methods.direct.weighted import wpo
from workbench.methods.values import soft_backup
from workbench.worlds.tree import PrefixTree

CFG = wpo.Config(beta=0.5)
FREE = wpo.Config(beta=0.5, cap=math.inf)


def unlikely_pair():
    """Chosen: two tokens of 1/4 where Σπ² = 5/8, ratio 2/5 each; so w = 2/5.

    Rejected: one token of 7/8 where Σπ² = 25/32, w = 28/25. With π_ref = 1/2 each the
    log-ratios are −log 4 and log 7/4: D = −log 7, βD = −(log 7)/2.
    """
    chosen = side([[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5]] * 2, [1, 0], 4)
    return distribution_pair(chosen, side([[0.125, 0.875]], [[0.5, 0.5]], [1], 4))


def check_hand_number(loss):
    """w = (2/5)(28/25) = 56/125, L = w log(1 + √7)."""
    expected = 56 / 125 * math.log(1 + math.sqrt(7))
    assert_close(loss(unlikely_pair(), CFG).tolist(), [expected])


def check_hand_gradient(loss):
    """The push is w β σ(−βD) = (56/125)(1/2) √7/(1 + √7); distributions get none."""
    found = gradients(loss, unlikely_pair(), CFG)
    push = 56 / 125 / 2 * math.sqrt(7) / (1 + math.sqrt(7))
    assert_close(found["policy_chosen"].tolist(), [[0.0, -push, -push, 0.0]])
    assert_close(found["policy_rejected"].tolist(), [[0.0, push, 0.0, 0.0]])
    rest = [
        g for k, g in found.items() if k.startswith("ref") or k.endswith("distribution")
    ]
    assert all(g.abs().max() == 0 for g in rest)


def check_the_product_is_capped(loss):
    """Ratios 6/5 and 28/25: w = 168/125 = 1.344, at most c."""
    plain = dpo.loss(hand_pair(), CFG)
    for cap, expected in ((1.0, 1.0), (1.3, 1.3), (math.inf, 1.344)):
        got = loss(hand_pair(), wpo.Config(beta=0.5, cap=cap))
        assert_close(got, expected * plain)


def check_uniform_distributions_weigh_one(loss):
    """π(y_t) = Σ π² = 1/4 at every token: DPO, for responses of any length."""
    even = torch.zeros(TREE.n_nodes, 4, dtype=F64).log_softmax(-1)
    batch = all_distribution_pairs(even, node_logits(1).log_softmax(-1))
    assert_close(loss(batch, FREE), dpo.loss(batch, FREE))


def check_optimal_policy_is_stationary(loss):
    """Weights are the same for both orders of a pair: π*_β whatever they are."""
    ref, reward = node_logits(3).log_softmax(-1), 2 * random(4, TREE.n_responses)
    star = soft_backup.backup(TREE, ref, reward, CFG.beta).log_policy
    for cfg in (CFG, FREE):
        slope = node_gradient(loss, cfg, star, ref, labels(reward, 5))
        assert slope.abs().max() < 1e-11


CHECKS = [
    check_hand_number,
    check_hand_gradient,
    check_the_product_is_capped,
    check_uniform_distributions_weigh_one,
    check_optimal_policy_is_stationary,
]


def test_weights_do_differ_between_the_pairs_of_a_world():
    batch = all_distribution_pairs(*(node_logits(s).log_softmax(-1) for s in (6, 7)))
    weights = wpo.pair_weight(batch, FREE).unflatten(0, (TREE.n_responses, -1))
    assert_close(weights, weights.T)
    assert weights.max() > 4 * weights.min()


def test_the_greedy_response_of_a_certain_policy_weighs_one():
    row = [1.0, 0.0]
    sure = side([row, row], [[0.5, 0.5]] * 2, [0, 0], 4)
    batch = distribution_pair(sure, side([row], [[0.5, 0.5]], [0], 4))
    assert_close(wpo.pair_weight(batch, FREE).tolist(), [1.0])


def test_the_ratio_of_a_token_drawn_from_the_policy_is_one_on_average():
    """Σ_a π(a) · π(a)/Σπ² = 1, for every distribution."""
    tree = PrefixTree(n_words=5, depth=1)
    for seed in range(5):
        log_probs = node_logits(seed, tree, scale=2.0).log_softmax(-1)
        batch = all_distribution_pairs(log_probs, log_probs, tree)
        logs = wpo.alignment(
            batch.policy_chosen, batch.policy_chosen_distribution, batch.chosen_mask
        ).unflatten(0, (tree.n_responses, -1))[:, 0]
        drawn = tree.response_logps(log_probs).exp()
        assert (logs.exp() @ drawn).item() == pytest.approx(1)
        assert logs.exp().std() > 0.1
