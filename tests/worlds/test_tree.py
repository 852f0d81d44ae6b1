"""The prefix tree: numbering, paths, and the sum and its inverse."""

import itertools

import pytest
import torch

from workbench.worlds.tree import PrefixTree


def test_there_are_585_4681_and_37449_reviews():
    sizes = [PrefixTree(8, depth).n_responses for depth in (3, 4, 5)]
    assert sizes == [585, 4681, 37449]


def test_numbers_run_by_length_then_by_digits():
    tree = PrefixTree(3, 2)
    order = [[], [0], [1], [2], *map(list, itertools.product(range(3), repeat=2))]
    assert [tree.index(words) for words in order] == list(range(13))
    assert tree.words(2).tolist() == order[4:]


def test_a_path_lists_the_prefixes_passed_and_the_tokens_written():
    tree = PrefixTree(3, 2)
    nodes, actions = tree.paths(torch.tensor([0, tree.index([2]), tree.index([1, 2])]))
    assert nodes.tolist() == [[0, -1], [0, tree.index([2])], [0, tree.index([1])]]
    # the empty response writes the end, the full one writes no end at all
    assert actions.tolist() == [[3, -1], [2, 3], [1, 2]]


def test_probability_of_a_response_is_the_product_along_its_path():
    tree = PrefixTree(2, 2)
    # root: 0.2, 0.3, end 0.5; after 0: 0.1, 0.6, 0.3; after 1: 0.25, 0.25, 0.5
    table = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]])
    probs = tree.response_logps(table.double().log()).exp()
    by_hand = [0.5, 0.2 * 0.3, 0.3 * 0.5, 0.02, 0.12, 0.075, 0.075]
    assert probs.tolist() == pytest.approx(by_hand)


def test_conditionals_invert_the_product_also_with_leading_axes():
    tree = PrefixTree(3, 3)
    log_probs = torch.randn(2, 4, tree.n_responses, dtype=torch.float64).log_softmax(-1)
    back = tree.response_logps(tree.conditionals(log_probs))
    torch.testing.assert_close(back, log_probs)


def test_a_prefix_that_is_never_reached_has_a_distribution_all_the_same():
    tree = PrefixTree(2, 2)
    log_probs = torch.full((7,), -torch.inf, dtype=torch.float64)
    log_probs[0] = 0.0
    rows = tree.conditionals(log_probs)
    torch.testing.assert_close(rows.exp().sum(-1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(tree.response_logps(rows), log_probs)


def test_chance_of_passing_a_prefix_is_that_of_all_responses_below_it():
    tree = PrefixTree(2, 2)
    table = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]])
    reach = tree.reach_logps(table.double().log()).exp()
    assert reach.tolist() == pytest.approx([1.0, 0.2, 0.3])
    deep = PrefixTree(3, 3)
    log_probs = torch.randn(2, deep.n_responses, dtype=torch.float64).log_softmax(-1)
    both = deep.conditionals(log_probs)
    # a response that ends at a prefix has passed it and then written the end
    ended = deep.reach_logps(both) + both[..., -1]
    torch.testing.assert_close(ended, log_probs[..., : deep.n_nodes])


def test_action_values_are_the_values_of_what_follows():
    """Nodes are worth 10, 20, 30, responses 0 … 6; a finished one has its reward."""
    tree = PrefixTree(2, 2)
    values = torch.tensor([10.0, 20.0, 30.0])
    reward = torch.arange(7.0)
    by_hand = [[20, 30, 0], [3, 4, 1], [5, 6, 2]]
    assert tree.action_values(values, reward).tolist() == by_hand
    both = tree.action_values(torch.stack([values, values]), reward)
    assert both.tolist() == [by_hand, by_hand]


def test_values_along_the_longest_prefixes_are_read_once_a_node():
    """Three words, depth 3: row c runs the prefix of digits c // 3, c % 3."""
    tree = PrefixTree(3, 3)
    longest = tree.words(2)
    nodes = [[0, tree.index([a]), tree.index([a, b])] for a, b in longest.tolist()]
    read = tree.at_nodes(torch.tensor([nodes]).double())
    assert read.tolist() == [list(range(tree.n_nodes))]
