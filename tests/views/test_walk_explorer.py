"""The walk explorer: which of three walks ends at the equilibrium."""

import pytest
import torch

from workbench.views.instruments import walk_explorer
from workbench.worlds import preference_games

NAMES = ["rock", "paper", "scissors"]


@pytest.fixture
def game():
    ref = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()
    return preference_games.biased_rps(0.18, 0.14, 0.16), ref


def test_the_caption_names_the_walk_that_arrives(game):
    start = walk_explorer(*game, NAMES, tau=0.05, live=False).start
    assert start.caption == "At the cross after 80 steps: Nash-MD."
    assert set(start.data.curve) == {"Nash-MD", "best responses", "self-play, τ = 0"}


def test_after_one_step_nothing_has_arrived(game):
    explorer = walk_explorer(*game, NAMES, live=False)
    assert "none" in explorer.draw(tau=0.05, n=1).caption


def test_a_high_price_makes_best_responses_arrive_too(game):
    explorer = walk_explorer(*game, NAMES, live=False)
    assert "best responses" in explorer.draw(tau=0.5, n=80).caption


def test_the_sliders_hold_the_given_start(game):
    explorer = walk_explorer(*game, NAMES, tau=0.03, n=30, live=True)
    assert explorer.values == {"tau": 0.03, "n": 30}
