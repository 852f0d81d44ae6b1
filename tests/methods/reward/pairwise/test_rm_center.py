"""The price on the level of scores: by hand, its slopes, what it fixes and shrinks."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, every_pair, random
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.methods.reward.pairwise import rm_center
from workbench.methods.reward.pairwise.rm_center import Config

SUM, EACH = Config(center=0.5), Config(center=0.5, of="each")


def scores(chosen, rejected):
    return PairScores(
        torch.tensor(chosen, dtype=F64), torch.tensor(rejected, dtype=F64)
    )


def slopes(loss, batch, cfg):
    """Gradient in the chosen and in the rejected scores."""
    sides = [s.clone().requires_grad_() for s in (batch.chosen, batch.rejected)]
    return torch.autograd.grad(loss(PairScores(*sides), cfg).sum(), sides)


def check_by_hand(loss):
    """Scores 2 and −1: log(1 + e^−3), and ½(2 − 1)², or ½·½(4 + 1)."""
    batch, fit = scores([2.0], [-1.0]), math.log1p(math.exp(-3))
    assert_close(loss(batch, SUM).tolist(), [fit + 0.5])
    assert_close(loss(batch, EACH).tolist(), [fit + 1.25])


def check_the_price_on_the_sum_has_no_slope_along_the_difference(loss):
    """dP/dr_c = dP/dr_r = 2c(r_c + r_r); the rest of the slopes are ∓σ(−D)."""
    batch = PairScores(random(0, 9), random(1, 9))
    up, down = slopes(loss, batch, SUM)
    push = (-batch.margin()).sigmoid()
    want = batch.chosen + batch.rejected
    assert_close(up + push, want)
    assert_close(down - push, want)


def check_the_price_on_each_pulls_each_to_0(loss):
    """dP/dr = c·r for either score."""
    batch = PairScores(random(2, 9), random(3, 9))
    up, down = slopes(loss, batch, EACH)
    push = (-batch.margin()).sigmoid()
    assert_close(up + push, batch.chosen / 2)
    assert_close(down - push, batch.rejected / 2)


CHECKS = [
    check_by_hand,
    check_the_price_on_the_sum_has_no_slope_along_the_difference,
    check_the_price_on_each_pulls_each_to_0,
]


def fitted(truth, i, j, cfg):
    """Minimiser over a table of scores, from labels of the true reward."""
    table = torch.ones_like(truth).requires_grad_()
    prefers = (truth[i] - truth[j]).sigmoid()
    optimiser = torch.optim.LBFGS(
        [table], max_iter=500, tolerance_grad=1e-12, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimiser.zero_grad()
        value = (prefers * rm_center.loss(PairScores(table[i], table[j]), cfg)).sum()
        value.backward()
        return value

    optimiser.step(closure)
    return table.detach()


@pytest.mark.parametrize(("cfg", "shrinks"), [(SUM, False), (EACH, True)])
def test_on_pairs_that_share_nothing_the_sum_keeps_every_difference(cfg, shrinks):
    truth = 2 * random(4, 8)
    i = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7])
    found = fitted(truth, i, i ^ 1, cfg)
    gap, want = (v[::2] - v[1::2] for v in (found, truth))
    assert_close(found[::2] + found[1::2], torch.zeros(4, dtype=F64), atol=1e-7, rtol=0)
    if shrinks:
        assert (gap.abs() < 0.9 * want.abs()).all()
    else:
        assert_close(gap, want, atol=1e-6, rtol=0)


def test_on_a_complete_graph_the_sum_shrinks_too():
    """Σ_{i<j} (r_i + r_j)² = (n − 2) Σ r² + (Σ r)²; n = 3 and (1, 2, −1) give 10 + 4
    − 4: 9 + 0 + 1."""
    table = torch.tensor([1.0, 2.0, -1.0], dtype=F64)
    i, j = every_pair(3)
    once = i < j
    batch = PairScores(table[i[once]], table[j[once]])
    assert rm_center.price(batch, Config(center=1.0)).sum().item() == 9 + 0 + 1
    truth = 2 * random(5, 8)
    i, j = every_pair(8)
    found = fitted(truth, i, j, SUM)
    assert found.mean().abs() < 1e-7
    assert found.std() < 0.9 * truth.std()
