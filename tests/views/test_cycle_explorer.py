"""The cycle explorer: a ranking and a circle, and who can say what of them."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from workbench.models.preference_vectors import lead
from workbench.views.instruments import cycle_explorer
from workbench.views.instruments.cycle_explorer import (
    CIRCLES,
    GAPS,
    cycle_state,
    vectors,
)


def test_without_a_circle_scores_say_everything():
    found = cycle_state(0.5, 0.0)
    assert_close(found.scores, found.crowd, atol=1e-10, rtol=0)
    assert found.excess == pytest.approx(0.0, abs=1e-12)
    # a is ahead of c by twice the gap
    assert found.crowd[0, 2].item() == pytest.approx(1 / (1 + math.exp(-1)))


def test_a_pure_circle_leaves_nothing_to_scores():
    """Each choice is won with σ(1): the best scores say one half, which costs log 2."""
    found = cycle_state(0.0, 1.0)
    assert_close(found.scores, torch.full((3, 3), 0.5, dtype=torch.float64))
    p = 1 / (1 + math.exp(-1))
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert found.excess == pytest.approx(math.log(2) - entropy)


@pytest.mark.parametrize(
    ("gap", "circle"), [*itertools.product(GAPS[::4], CIRCLES[::4])]
)
def test_one_turn_says_any_three_choices(gap, circle):
    found = cycle_state(gap, circle)
    assert_close(found.turns, found.crowd, atol=1e-12, rtol=0)


def test_vectors_of_any_log_odds():
    for ab, ac, bc in [(1.0, 2.0, 3.0), (2.0, -1.0, 0.5), (0.0, 0.0, 1.5), (0.0, 1, 2)]:
        odds = torch.tensor([[0, ab, ac], [-ab, 0, bc], [-ac, -bc, 0]]).double()
        arrows = vectors(odds)
        assert_close(lead(arrows[:, None], arrows[None])[..., 0], odds)


def test_the_caption_counts_the_choices_on_the_majority_side():
    explorer = cycle_explorer(live=False)
    assert "runs in a circle" in explorer.start.caption
    assert "in 2 of 3 choices" in explorer.start.caption
    none = explorer.draw(gap=1.0, circle=0.0).caption
    assert "has a ranking" in none and "in 3 of 3 choices and lose 0.000" in none
    pure = explorer.draw(gap=0.0, circle=2.0).caption
    assert "in 0 of 3 choices" in pure
