"""CPO by hand, its two anchors, and its minimiser over an enumerated world."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps, token_logps
from tests.methods.pairwise import (
    all_pairs,
    chosen_from,
    pair,
    population_gradient,
    pulls,
)
from workbench.methods.direct.links import cpo, dpo

CFG = cpo.Config(beta=0.4, alpha=0.3)
BARE = cpo.Config(beta=0.4, alpha=0.0)
LENGTHS = token_logps(TREE, random_logps(0))[1].sum(-1).to(F64)


def hand_batch():
    """log π(y_c) = −1 − 2 = −3 over two tokens, log π(y_r) = −5.5 over one."""
    return pair([-1.0, -2.0], [-5.5], ref_chosen=[-3.0, -1.0], ref_rejected=[-2.0])


def check_hand_number(loss):
    """Gap 2.5: β·gap = 1, and NLL 3/2 per token: log(1 + e^−1) + 0.3 · 1.5."""
    assert_close(loss(hand_batch(), CFG).tolist(), [math.log1p(math.exp(-1)) + 0.45])


def check_hand_number_of_the_summed_nll(loss):
    """NLL 3 nats per response: log(1 + e^−1) + 0.3 · 3."""
    cfg = replace(CFG, nll="sum")
    assert_close(loss(hand_batch(), cfg).tolist(), [math.log1p(math.exp(-1)) + 0.9])


def check_pulls_are_the_error_and_the_nll(loss):
    """Chosen tokens: 0.4/(1 + e) + 0.3/2; the rejected one: −0.4/(1 + e)."""
    batch, error = hand_batch(), 0.4 / (1 + math.e)
    up, down = pulls(loss, batch, CFG)
    assert_close(up, (error + 0.15) * batch.chosen_mask.to(F64))
    assert_close(down, -error * batch.rejected_mask.to(F64))


def check_the_reference_is_not_read(loss):
    """Another reference, the same loss."""
    batch = hand_batch()
    moved = replace(batch, ref_chosen=batch.ref_chosen - 0.7)
    assert_close(loss(moved, CFG), loss(batch, CFG))


def check_an_exponential_distribution_is_stationary(loss):
    """α = 0: β(log π_i − log π_j) = r_i − r_j, for any weights of the pairs."""
    reward = 2 * random(2, TREE.n_responses)
    weight = random(3, TREE.n_responses, TREE.n_responses).exp()
    prefers = (reward[:, None] - reward).sigmoid()
    best = (reward / BARE.beta).log_softmax(-1)
    gradient = population_gradient(
        loss, BARE, best, random_logps(1), prefers, weight + weight.T
    )
    assert gradient.abs().max() < 1e-10


def check_alpha_changes_nothing_where_the_nll_agrees(loss):
    """Chosen responses from exp(r/β)/Z for "sum", from |y| times that for "mean"."""
    reward = random(2, TREE.n_responses)
    prefers = (reward[:, None] - reward).sigmoid()
    best = (reward / CFG.beta).log_softmax(-1)
    for nll, drawn in (("sum", best), ("mean", (best + LENGTHS.log()))):
        cfg = replace(CFG, nll=nll)
        weight = chosen_from(drawn.log_softmax(-1), reward)
        gradient = population_gradient(
            loss, cfg, best, random_logps(1), prefers, weight
        )
        assert gradient.abs().max() < 1e-10


CHECKS = [
    check_hand_number,
    check_hand_number_of_the_summed_nll,
    check_pulls_are_the_error_and_the_nll,
    check_the_reference_is_not_read,
    check_an_exponential_distribution_is_stationary,
    check_alpha_changes_nothing_where_the_nll_agrees,
]


def test_without_nll_it_is_dpo_under_a_reference_that_prefers_nothing():
    """All 13 responses with one log-prob, whatever their length."""
    flat = torch.zeros(TREE.n_responses, dtype=F64).log_softmax(-1)
    batch = all_pairs(random_logps(4), flat)
    assert_close(cpo.loss(batch, BARE), dpo.loss(batch, dpo.Config(beta=0.4)))


def test_the_mean_nll_elsewhere_than_its_distribution_moves_the_minimum():
    """The weights of the summed NLL are not those of the mean."""
    reward = random(2, TREE.n_responses)
    prefers = (reward[:, None] - reward).sigmoid()
    best = (reward / CFG.beta).log_softmax(-1)
    gradient = population_gradient(
        cpo.loss, CFG, best, random_logps(1), prefers, chosen_from(best, reward)
    )
    assert gradient.abs().max() > 1e-3


def test_nll_is_the_only_pull_on_a_pair_far_apart():
    """β·gap = 40: the error is e^−40, and 0.3 nats per response remain."""
    batch = pair([-1.0, -2.0], [-103.0], ref_chosen=[-1.0, -1.0], ref_rejected=[-1.0])
    up, down = pulls(cpo.loss, batch, CFG)
    assert up.sum().item() == pytest.approx(0.3)
    assert down.abs().max() < 1e-16
