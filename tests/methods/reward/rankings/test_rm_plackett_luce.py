"""Chances of rankings: by hand, summed over all of them, and what they teach."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, random
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.list_scores import ListScores
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.feedback.labels import collect_labels
from workbench.methods.reward.pairwise import bt
from workbench.methods.reward.rankings import rm_plackett_luce
from workbench.methods.reward.rankings.rm_plackett_luce import Config
from workbench.models import tiny
from workbench.models.heads import ScoreModel
from workbench.worlds.reviews import Reviews

CFG, PAIRS = Config(), Config(form="pairs")


def ranked(values, order):
    """One list, and its responses from the best to the worst."""
    values = torch.as_tensor(values, dtype=F64)
    scores = torch.zeros(len(order), dtype=F64)
    scores[list(order)] = -torch.arange(len(order), dtype=F64)
    return ListScores(values[None], scores[None])


def check_by_hand(loss):
    """e^r = (1, 4, 2), order second, first, third: 4/7 · 1/3. First pick: 4/7.

    Pairs: (4/5 · 4/6 · 1/3)^⅓.
    """
    batch = ranked([0.0, math.log(4), math.log(2)], (1, 0, 2))
    assert_close(loss(batch, CFG).tolist(), [-math.log(4 / 7 / 3)])
    assert_close(loss(batch, Config(top=1)).tolist(), [-math.log(4 / 7)])
    assert_close(loss(batch, Config(top=2)).tolist(), [-math.log(4 / 7 / 3)])
    pairs = -math.log(4 / 5 * 4 / 6 / 3) / 3
    assert_close(loss(batch, PAIRS).tolist(), [pairs])


def check_the_chances_of_all_rankings_sum_to_1(loss):
    values = 2 * random(0, 4)
    orders = itertools.permutations(range(4))
    total = sum(loss(ranked(values, order), CFG).neg().exp() for order in orders)
    assert_close(total.tolist(), [1.0])


def check_a_pair_within_a_ranking_is_bradley_terry(loss):
    """P(0 before 1), summed over all rankings, is σ(r_0 − r_1)."""
    values = 2 * random(1, 4)
    total = 0.0
    for order in itertools.permutations(range(4)):
        if order.index(0) < order.index(1):
            total += loss(ranked(values, order), CFG).neg().exp().item()
    assert_close(total, (values[0] - values[1]).sigmoid().item())


def check_two_responses_are_bradley_terry(loss):
    values = random(2, 12, 2)
    scores = torch.tensor([[0.0, 1.0]], dtype=F64).expand(12, 2)
    want = bt.loss(PairScores(values[:, 1], values[:, 0]), bt.Config())
    for cfg in (CFG, PAIRS, Config(top=1)):
        assert_close(loss(ListScores(values, scores), cfg), want)


CHECKS = [
    check_by_hand,
    check_the_chances_of_all_rankings_sum_to_1,
    check_a_pair_within_a_ranking_is_bradley_terry,
    check_two_responses_are_bradley_terry,
]


@pytest.mark.parametrize("cfg", [CFG, PAIRS, Config(top=1), Config(top=2)])
def test_true_scores_are_stationary_whatever_is_read(cfg):
    """Over all rankings of Plackett–Luce the slopes cancel at r* + c."""
    truth = 2 * random(3, 4)
    estimate = (truth + 0.7).requires_grad_()
    total = torch.zeros((), dtype=F64)
    for order in itertools.permutations(range(4)):
        chance, left = 1.0, truth.exp()
        for picked in order:
            chance, left = chance * left[picked] / left.sum(), left.clone()
            left[picked] = 0
        batch = ranked(torch.zeros(4), order)
        batch = ListScores(estimate[None], batch.scores)
        total = total + chance * rm_plackett_luce.loss(batch, cfg).sum()
    [slope] = torch.autograd.grad(total, estimate)
    assert slope.abs().max() < 1e-12


def test_equal_scores_are_not_compared():
    """A tie of two below one: only the first pick of three has a chance below 1."""
    values = torch.tensor([[0.0, math.log(4), math.log(2)]], dtype=F64)
    tied = ListScores(values, torch.tensor([[0.0, 1.0, 0.0]], dtype=F64))
    want = [-math.log(4 / 7)]
    assert_close(rm_plackett_luce.loss(tied, CFG).tolist(), want)
    pairs = [-math.log(4 / 5 * 4 / 6) / 2]
    assert_close(rm_plackett_luce.loss(tied, PAIRS).tolist(), pairs)
    flat = ListScores(values, torch.zeros(1, 3, dtype=F64))
    for cfg in (CFG, PAIRS):
        assert rm_plackett_luce.loss(flat, cfg).tolist() == [0.0]


def test_lists_of_a_world_are_scored_in_place():
    """Values of a list are the scores of its responses; a margin is better first."""
    world = Reviews(max_words=2)
    labels = collect_labels(world, tiny.reference(world), 32, Annotator(), generator(0))
    data, model = labels.data(ListScores), ScoreModel.tiny(world.vocab)
    rows = torch.tensor([5, 2])
    batch = data.batch(model, rows)
    tokens = data.lists[rows].tokens
    assert_close(batch.values.flatten(), model.scores(tokens))
    assert_close(batch.scores.double(), data.lists[rows].scores, check_dtype=False)
    one = ListScores(torch.tensor([[1.0, 5.0, 2.0]]), torch.tensor([[0.0, 1.0, 1.0]]))
    assert one.margin().tolist() == [4.0, 1.0]
    assert len(type(data).cat([data, data])) == 2 * len(data)
