"""Beam search on small trees, beside a beam written with lists."""

import pytest
import torch

from workbench.core.seeds import generator
from workbench.models.beam import beam_search
from workbench.worlds.tree import PrefixTree

TREE = PrefixTree(n_words=3, depth=3)


def random_conditionals(*lead, seed=0):
    """Conditionals of a peaked random distribution over all responses."""
    shape = (*lead, TREE.n_responses)
    noise = torch.randn(shape, generator=generator(seed), dtype=torch.float64)
    return TREE.conditionals((3 * noise).log_softmax(-1))


def by_lists(scores, width):
    """Words as lists; a finished response is (words, total, True)."""
    beam = [([], 0.0, False)]
    for _ in range(TREE.depth):
        grown = [item for item in beam if item[2]]
        for words, total, done in beam:
            if done:
                continue
            row = scores[TREE.index(words)].tolist()
            grown.append((words, total + row[-1], True))
            for word, value in enumerate(row[:-1]):
                longer = [*words, word]
                grown.append((longer, total + value, len(longer) == TREE.depth))
        beam = sorted(grown, key=lambda item: -item[1])[:width]
    return [(TREE.index(words), total) for words, total, _ in beam]


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_beam_written_with_lists(width, seed):
    scores = random_conditionals(seed=seed)
    found, totals = beam_search(TREE, scores, width)
    expected = by_lists(scores, width)
    assert found.tolist() == [number for number, _ in expected]
    assert totals.tolist() == pytest.approx([total for _, total in expected])


def test_the_total_is_the_score_of_the_response():
    scores = random_conditionals(2, 4, seed=3)
    found, totals = beam_search(TREE, scores, 4)
    assert found.shape == (2, 4, 4)
    torch.testing.assert_close(TREE.response_logps(scores).gather(-1, found), totals)


def test_a_beam_as_wide_as_the_tree_finds_the_best_and_sorts_all():
    scores = random_conditionals(5, seed=1)
    every = TREE.response_logps(scores)
    found, totals = beam_search(TREE, scores, TREE.n_responses)
    assert torch.equal(found[:, 0], every.argmax(-1))
    torch.testing.assert_close(totals, every.sort(-1, descending=True).values)


def test_width_one_is_greedy():
    scores = random_conditionals(seed=4)
    words = []
    while len(words) < TREE.depth:
        action = int(scores[TREE.index(words)].argmax())
        if action == TREE.n_words:
            break
        words.append(action)
    assert beam_search(TREE, scores, 1)[0].tolist() == [TREE.index(words)]


def test_a_wider_beam_escapes_a_promising_first_word():
    """Word 0 has 0.6 and then spreads evenly; word 1 has 0.4 and then ends surely."""
    probs = torch.full((TREE.n_nodes, 4), 0.25, dtype=torch.float64)
    probs[0] = torch.tensor([0.6, 0.4, 0.0, 0.0])
    probs[TREE.index([1])] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    scores = probs.log()
    greedy, best = (beam_search(TREE, scores, k)[0][0].item() for k in (1, 2))
    assert greedy == TREE.index([0, 0, 0]) and best == TREE.index([1])


def test_scores_that_are_no_probabilities_can_be_searched():
    """Rewards of either sign: a finished response keeps its place and its score."""
    scores = torch.zeros(TREE.n_nodes, 4, dtype=torch.float64)
    scores[0] = torch.tensor([-1.0, -2.0, -3.0, 0.5])  # the empty response: 0.5
    scores[TREE.index([0])] = torch.tensor([0.0, 5.0, 0.0, 0.0])
    scores[TREE.index([0, 1]), -1] = 1.0
    assert beam_search(TREE, scores, 1)[0].tolist() == [0]
    found, totals = beam_search(TREE, scores, 2)
    assert found.tolist()[0] == TREE.index([0, 1]) and totals[0].item() == 5.0


def test_impossible_responses_fill_a_beam_at_minus_infinity():
    scores = torch.full((TREE.n_nodes, 4), -torch.inf, dtype=torch.float64)
    scores[0, -1] = 0.0  # only the empty response
    found, totals = beam_search(TREE, scores, 50)
    assert found.shape == (50,) and totals[0] == 0.0
    assert (totals[1:] == -torch.inf).all()
