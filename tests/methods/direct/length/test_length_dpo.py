"""R-DPO by hand, the sign of its price, and its minimiser."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, random, random_logps, token_logps
from tests.methods.pairwise import (
    pair,
    population_gradient,
    pulls,
    reference_gradients,
)
from workbench.methods.direct.length import length_dpo
from workbench.methods.direct.links import dpo
from workbench.worlds.solutions import expectation, optimal_policy
from workbench.worlds.tree import PrefixTree

CFG = length_dpo.Config(beta=0.4, alpha=0.3)
TREE = PrefixTree(n_words=2, depth=3)  # 15 responses of 1, 2 or 3 tokens
N = TREE.n_responses
LENGTHS = token_logps(TREE, random_logps(0, N))[1].sum(-1).to(F64)


def long_chosen():
    """d = 1 + 0.5 + 0 over three tokens and −0.25 over one: D = 1.75."""
    return pair([-1.0, -2.0, -1.0], [-2.25], [-2.0, -2.5, -1.0], [-2.0])


def long_rejected():
    """The same responses, the other one chosen: D = −1.75."""
    return pair([-2.25], [-1.0, -2.0, -1.0], [-2.0], [-2.0, -2.5, -1.0])


def check_hand_number(loss):
    """β D = 0.7 and α·(3 − 1) = 0.6 give 1.3; swapped, −1.3."""
    assert_close(loss(long_chosen(), CFG).tolist(), [math.log1p(math.exp(-1.3))])
    assert_close(loss(long_rejected(), CFG).tolist(), [math.log1p(math.exp(1.3))])


def check_pulls_are_beta_times_the_error(loss):
    """±0.4 σ(−1.3) on every token: the price itself has no gradient."""
    batch, error = long_chosen(), 0.4 / (1 + math.exp(1.3))
    up, down = pulls(loss, batch, CFG)
    assert_close(up, error * batch.chosen_mask.to(F64))
    assert_close(down, -error * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert reference_gradients(loss, long_chosen(), CFG) == 0


def gradient_at(loss, best, ref, reward):
    weight = random(3, N, N).exp()
    prefers = (reward[:, None] - reward).sigmoid()
    return population_gradient(loss, CFG, best, ref, prefers, weight + weight.T, TREE)


def check_minimiser_is_the_optimum_of_the_reward_less_its_price(loss):
    """β d = r − α|y| + c for every response, for any weights of the pairs."""
    ref, reward = random_logps(1, N), 2 * random(2, N)
    best = optimal_policy(ref, reward - CFG.alpha * LENGTHS, CFG.beta)
    assert gradient_at(loss, best, ref, reward).abs().max() < 1e-10


CHECKS = [
    check_hand_number,
    check_pulls_are_beta_times_the_error,
    check_reference_gets_no_gradient,
    check_minimiser_is_the_optimum_of_the_reward_less_its_price,
]


@pytest.mark.parametrize("sign", [0, 1])
def test_no_price_and_a_bonus_are_not_stationary(sign):
    ref, reward = random_logps(1, N), 2 * random(2, N)
    other = optimal_policy(ref, reward + sign * CFG.alpha * LENGTHS, CFG.beta)
    assert gradient_at(length_dpo.loss, other, ref, reward).abs().max() > 1e-2


def test_annotators_who_pay_alpha_a_token_are_corrected():
    """Labels of r + α|y|: the minimiser is π*_β of r, and shorter than theirs."""
    ref, reward = random_logps(1, N), 2 * random(2, N)
    paid = reward + CFG.alpha * LENGTHS
    best = optimal_policy(ref, reward, CFG.beta)
    assert gradient_at(length_dpo.loss, best, ref, paid).abs().max() < 1e-10
    theirs = optimal_policy(ref, paid, CFG.beta)
    lengths = LENGTHS
    assert expectation(best, lengths) < expectation(theirs, lengths) - 0.01


def test_a_longer_chosen_response_is_pushed_less_than_by_dpo():
    batch = long_chosen()
    with_price, _ = pulls(length_dpo.loss, batch, CFG)
    without, _ = pulls(dpo.loss, batch, dpo.Config(beta=0.4))
    assert 0 < with_price.sum() < without.sum()


def test_without_a_price_or_at_equal_lengths_it_is_dpo():
    free = length_dpo.Config(beta=0.4, alpha=0.0)
    plain = dpo.Config(beta=0.4)
    assert_close(length_dpo.loss(long_chosen(), free), dpo.loss(long_chosen(), plain))
    batch = pair(*(-random(i, 3).exp() for i in range(4)))
    assert_close(length_dpo.loss(batch, CFG), dpo.loss(batch, plain))


def test_lengths_are_of_the_dtype_of_the_log_probs():
    assert length_dpo.longer(long_chosen()).dtype == F64
    assert_close(length_dpo.longer(long_rejected()), torch.tensor([-2.0], dtype=F64))
