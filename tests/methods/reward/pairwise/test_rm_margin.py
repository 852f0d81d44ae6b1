"""Graded margins by hand, their slopes, and the overconfident chances they end at."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, random
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.graded_pairs import GradedScores
from workbench.feedback.labels import collect_labels
from workbench.methods.reward.pairwise import bt, rm_margin
from workbench.methods.reward.pairwise.rm_margin import Config
from workbench.models import tiny
from workbench.models.heads import ScoreModel
from workbench.worlds.reviews import Reviews

THIRD = Config(scale=1 / 3)


def graded(lead, grade):
    lead = torch.as_tensor(lead, dtype=F64)
    return GradedScores(lead, torch.zeros_like(lead), torch.as_tensor(grade, dtype=F64))


def check_by_hand(loss):
    """Leads 2 and 2, grades 3 and 0, scale ⅓: log(1 + e^−1), log(1 + e^−2)."""
    got = loss(graded([2.0, 2.0], [3.0, 0.0]), THIRD)
    assert_close(got.tolist(), [math.log1p(math.exp(-1)), math.log1p(math.exp(-2))])


def check_the_slope_is_the_chance_of_missing_the_margin(loss):
    """dL/dD = −σ(m − D), and nothing is learned by the grade's own size."""
    lead, grade = random(0, 20), random(1, 20).abs()
    lead.requires_grad_()
    loss(graded(lead, grade), Config(scale=2.0)).sum().backward()
    assert_close(-lead.grad, (2 * grade - lead.detach()).sigmoid())


def check_grade_0_is_bradley_terry(loss):
    """m = 0 for any scale."""
    batch = graded(random(2, 20), torch.zeros(20))
    assert_close(loss(batch, Config(scale=5.0)), bt.loss(batch, bt.Config()))


CHECKS = [
    check_by_hand,
    check_the_slope_is_the_chance_of_missing_the_margin,
    check_grade_0_is_bradley_terry,
]


@pytest.mark.parametrize("p", [0.5, 0.6, 0.9])
@pytest.mark.parametrize("m", [0.0, 0.5, 2.0])
def test_minimiser_of_a_graded_pair(p, m):
    """p σ(m − D) = (1 − p) σ(m + D) has the root D = log u of the docstring."""
    root = (2 * p - 1) + math.sqrt(
        (2 * p - 1) ** 2 + 4 * p * (1 - p) * math.exp(-2 * m)
    )
    at = math.log(root / (2 * (1 - p) * math.exp(-m)))
    lead = torch.tensor([at], dtype=F64, requires_grad=True)
    cfg = Config(scale=1.0)
    value = p * rm_margin.loss(graded(lead, [m]), cfg)
    value = value + (1 - p) * rm_margin.loss(graded(-lead, [m]), cfg)
    value.sum().backward()
    assert abs(lead.grad.item()) < 1e-12
    # with a margin the chance is overstated, but for a tie
    stated = 1 / (1 + math.exp(-at))
    if m == 0 or p == 0.5:
        assert stated == pytest.approx(p)
    else:
        assert stated > p + 0.01


def test_the_grade_is_what_the_annotator_felt_or_a_column_of_the_file():
    world = Reviews(max_words=2)
    labels = collect_labels(world, tiny.reference(world), 16, Annotator(), generator(0))
    better, worse = labels.utilities
    data = labels.data(GradedScores)
    rows = torch.tensor([3, 1])
    batch = data.batch(ScoreModel.tiny(world.vocab), rows)
    assert_close(batch.grade.double(), (better - worse)[rows], check_dtype=False)
    labels.pairs.columns["margin"] = torch.arange(16.0)
    assert labels.data(GradedScores).batch(
        ScoreModel.tiny(world.vocab), rows
    ).grade.tolist() == [3, 1]
    assert type(data).cat([data, data]).grade.shape == (32,)
