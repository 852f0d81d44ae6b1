"""The optimum of a mean over tokens."""

import math

import torch

from workbench.worlds import length_optima, solutions

BASE = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
REWARD = torch.tensor([1.0, 0.2, -0.7], dtype=torch.float64)


def test_two_responses_by_hand():
    """No reward, one and two tokens, β = 1: e^c + e^(2c) = 1 at e^c = (√5 − 1)/2."""
    zero, tokens = torch.zeros(2).double(), torch.tensor([1, 2])
    best = length_optima.per_token_optimum(zero, zero, 1.0, tokens).exp()
    golden = (math.sqrt(5) - 1) / 2
    expected = torch.tensor([golden, golden**2], dtype=torch.float64)
    torch.testing.assert_close(best, expected)


def test_on_equal_lengths_it_is_the_optimum_of_beta_over_the_length():
    tokens = torch.full((3,), 4)
    best = length_optima.per_token_optimum(BASE, REWARD, 2.0, tokens)
    torch.testing.assert_close(best, solutions.optimal_policy(BASE, REWARD, 0.5))


def test_it_sums_to_one_and_the_labels_fix_its_differences():
    """β/|y| times the log-ratio differs by the difference of rewards."""
    tokens, beta = torch.tensor([1, 2, 3]), 1.5
    best = length_optima.per_token_optimum(BASE, REWARD, beta, tokens)
    torch.testing.assert_close(best.exp().sum(), torch.tensor(1.0).double())
    score = beta * (best - BASE) / tokens
    torch.testing.assert_close(score - score[0], REWARD - REWARD[0])
