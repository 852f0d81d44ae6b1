"""Losses for flipped labels: by hand, over all flips, and what they end at."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, random
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.methods.reward.pairwise import bt, rm_smooth
from workbench.methods.reward.pairwise.rm_smooth import Config

SMOOTHED, UNBIASED = Config(0.2), Config(0.2, "unbiased")


def led_by(margin):
    return PairScores(margin, torch.zeros_like(margin))


def check_by_hand(loss):
    """e^D = 3: l(D) = log 4/3 and l(−D) = log 4; ε = 0.2 and 1 − 2ε = 0.6."""
    batch = led_by(torch.tensor([math.log(3)], dtype=F64))
    right, wrong = math.log(4 / 3), math.log(4)
    assert_close(loss(batch, SMOOTHED).tolist(), [0.8 * right + 0.2 * wrong])
    assert_close(loss(batch, UNBIASED).tolist(), [(0.8 * right - 0.2 * wrong) / 0.6])


def check_the_mean_over_the_flips_is_the_clean_loss(loss):
    """(1 − ε)L(D) + εL(−D) = l(D) at every D, for the unbiased form."""
    margin = 3 * random(0, 50)
    kept, flipped = (loss(led_by(sign * margin), UNBIASED) for sign in (1, -1))
    assert_close(0.8 * kept + 0.2 * flipped, bt.loss(led_by(margin), bt.Config()))


def check_smoothing_caps_a_lead(loss):
    """dL/dD = ε − σ(−D): 0 at D = log (1 − ε)/ε, where BT still pushes."""
    margin = torch.tensor([math.log(4), 0.0], dtype=F64, requires_grad=True)
    loss(led_by(margin), SMOOTHED).sum().backward()
    assert_close(margin.grad.tolist(), [0.0, 0.2 - 0.5], atol=1e-12, rtol=0)


CHECKS = [
    check_by_hand,
    check_the_mean_over_the_flips_is_the_clean_loss,
    check_smoothing_caps_a_lead,
]


@pytest.mark.parametrize(
    ("form", "want"), [("unbiased", 0.8), ("smoothed", 0.88 * 0.728 + 0.12 * 0.272)]
)
def test_where_a_pair_ends_whose_labels_are_flipped(form, want):
    """Won with 0.8 and flipped with ε = 0.12: won in 0.88·0.8 + 0.12·0.2 = 0.728.

    The unbiased form ends at the clean chance; smoothing counts the flips once more.
    """
    margin = torch.zeros(1, dtype=F64, requires_grad=True)
    cfg = Config(0.12, form)
    for _ in range(60):  # Newton's method: the mean loss is convex in D
        kept, flipped = (rm_smooth.loss(led_by(s * margin), cfg) for s in (1, -1))
        value = (0.728 * kept + 0.272 * flipped).sum()
        [slope] = torch.autograd.grad(value, margin, create_graph=True)
        [bend] = torch.autograd.grad(slope.sum(), margin)
        margin = (margin - slope / bend).detach().requires_grad_()
    assert margin.sigmoid().item() == pytest.approx(want)


def test_the_unbiased_push_never_ends():
    """−dL/dD ≥ ε/(1 − 2ε) = 1/3: a pair with one label has no minimum."""
    margin = torch.tensor([-50.0, 0.0, 50.0], dtype=F64, requires_grad=True)
    rm_smooth.loss(led_by(margin), UNBIASED).sum().backward()
    assert_close((-margin.grad).tolist(), [4 / 3, (0.8 + 0.2) * 0.5 / 0.6, 1 / 3])


@pytest.mark.parametrize("epsilon", [-0.1, 0.5, 0.9])
def test_a_rate_that_says_nothing_is_refused(epsilon):
    with pytest.raises(ValueError, match="below 1/2"):
        Config(epsilon)
