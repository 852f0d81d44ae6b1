"""Length-normalised DPO by hand, and its minimiser over responses of 1 to 3 tokens."""

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
    summing_to_one,
)
from workbench.methods.direct.length import ln_dpo
from workbench.methods.direct.links import dpo
from workbench.worlds.solutions import optimal_policy
from workbench.worlds.tree import PrefixTree

CFG = ln_dpo.Config(beta=0.4)
TREE = PrefixTree(n_words=2, depth=3)  # 15 responses of 1, 2 or 3 tokens
N = TREE.n_responses
LENGTHS = token_logps(TREE, random_logps(0, N))[1].sum(-1).to(F64)


def hand_batch():
    """d = 1 + 2 = 3 over two tokens and −1 over one: D = 1.5 + 1 = 2.5 per token."""
    return pair([-1.0, -2.0], [-3.0], ref_chosen=[-2.0, -4.0], ref_rejected=[-2.0])


def check_hand_number(loss):
    """β D = 0.4 · 2.5 = 1, so L = log(1 + e^−1)."""
    assert_close(loss(hand_batch(), CFG).tolist(), [math.log1p(math.exp(-1))])


def check_pulls_are_shared_by_the_tokens_of_each_response(loss):
    """0.4/(1 + e), halved on each of two chosen tokens, whole on the rejected one."""
    batch, error = hand_batch(), 0.4 / (1 + math.e)
    up, down = pulls(loss, batch, CFG)
    assert_close(up, error / 2 * batch.chosen_mask.to(F64))
    assert_close(down, -error * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert reference_gradients(loss, hand_batch(), CFG) == 0


def gradient_at(loss, best, ref, reward):
    weight = random(3, N, N).exp()
    prefers = (reward[:, None] - reward).sigmoid()
    return population_gradient(loss, CFG, best, ref, prefers, weight + weight.T, TREE)


def minimiser(ref, reward):
    """π_ref exp(|y|(r + c)/β), c such that it sums to one."""
    return summing_to_one(lambda c: ref + LENGTHS * (reward + c) / CFG.beta)


def check_minimiser_over_three_lengths(loss):
    """β d(y)/|y| = r + c for every response, for any weights of the pairs."""
    ref, reward = random_logps(1, N), random(2, N)
    best = minimiser(ref, reward)
    assert gradient_at(loss, best, ref, reward).abs().max() < 1e-10


CHECKS = [
    check_hand_number,
    check_pulls_are_shared_by_the_tokens_of_each_response,
    check_reference_gets_no_gradient,
    check_minimiser_over_three_lengths,
]


def test_at_equal_lengths_it_is_dpo_at_beta_over_the_length():
    for k in range(5):
        batch = pair(*(-random(7 * k + i, 3).exp() for i in range(4)))
        assert_close(
            ln_dpo.loss(batch, CFG), dpo.loss(batch, dpo.Config(beta=CFG.beta / 3))
        )


@pytest.mark.parametrize("beta", [0.4, 0.2, 0.4 / 3])
def test_the_optimal_policy_of_no_beta_is_its_minimiser(beta):
    """β/1, β/2 and β/3: each fits one length and misses the others."""
    ref, reward = random_logps(1, N), random(2, N)
    other = optimal_policy(ref, reward, beta)
    assert gradient_at(ln_dpo.loss, other, ref, reward).abs().max() > 1e-2


def test_over_one_length_the_minimiser_is_the_optimal_policy_at_beta_over_it():
    """The responses of three tokens: d differs by 3(r_i − r_j)/β."""
    ref, reward = random_logps(1, N), random(2, N)
    long = LENGTHS == LENGTHS.max()
    found = minimiser(ref, reward)[long].log_softmax(-1)
    assert_close(found, optimal_policy(ref, reward, CFG.beta / 3)[long].log_softmax(-1))


def test_at_the_start_the_loss_is_log_two():
    batch = pair([-1.0, -2.0], [-3.0], ref_chosen=[-1.0, -2.0], ref_rejected=[-3.0])
    assert_close(ln_dpo.loss(batch, CFG), torch.tensor([math.log(2)], dtype=F64))
