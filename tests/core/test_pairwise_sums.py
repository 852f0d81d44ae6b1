"""Sums over the pairs of a list, by hand on three values."""

import torch

from workbench.core.pairwise_sums import differences, ordered_sum, unordered_sum

VALUES = torch.tensor([[5.0, 1.0, 2.0]])


def test_differences_have_the_first_of_the_pair_in_the_row():
    hand = [[[0.0, 4.0, 3.0], [-4.0, 0.0, -1.0], [-3.0, 1.0, 0.0]]]
    assert differences(VALUES).tolist() == hand


def test_ordered_sum_takes_the_pairs_that_the_scores_order():
    """Scores 0.1 < 0.7 < 0.9 order (2, 0), (2, 1), (1, 0): −3 + 1 − 4."""
    scores = torch.tensor([[0.1, 0.7, 0.9]])
    assert ordered_sum(differences(VALUES), scores).tolist() == [-6.0]


def test_equal_scores_make_no_pair():
    """(1, 0) and (1, 2) alone remain, whatever stands at (0, 2): −4 − 1."""
    scores = torch.tensor([[0.1, 0.7, 0.1]])
    assert ordered_sum(differences(VALUES), scores).tolist() == [-5.0]
    assert ordered_sum(torch.full((1, 3, 3), 9.0), VALUES * 0).tolist() == [0.0]


def test_a_pair_that_is_left_out_gets_no_gradient():
    values = torch.full((1, 3, 3), torch.inf, requires_grad=True)
    total = ordered_sum(values, torch.tensor([[1.0, 0.0, 0.0]]))
    (gradient,) = torch.autograd.grad(total.sum(), values)
    assert gradient.tolist() == [[[0.0, 1.0, 1.0], [0.0] * 3, [0.0] * 3]]


def test_unordered_sum_takes_each_pair_once():
    """4² + 3² + 1² = 26; the diagonal does not count."""
    assert unordered_sum(differences(VALUES) ** 2).tolist() == [26.0]
    assert unordered_sum(differences(VALUES) ** 2 + 7 * torch.eye(3)).tolist() == [26.0]
