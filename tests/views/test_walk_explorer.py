"""The walk explorer: which of three walks ends at the equilibrium."""

import pytest
import torch

from workbench.views.instruments import walk_explorer
from workbench.views.instruments.walk_explorer import game as walk_game
from workbench.views.instruments.walk_explorer import starts
from workbench.views.simplex import PLACES, corner_xy
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


def moved(explorer, **values):
    """The figure after some controls have moved."""
    return explorer.draw(**explorer.defaults | values)


def test_after_two_steps_nothing_has_arrived(game):
    explorer = walk_explorer(*game, NAMES, live=False)
    assert "none" in moved(explorer, n=2).caption


def test_a_high_price_makes_best_responses_arrive_too(game):
    explorer = walk_explorer(*game, NAMES, live=False)
    assert "best responses" in moved(explorer, tau=0.5).caption


def test_the_sliders_hold_the_given_start_and_the_given_game(game):
    explorer = walk_explorer(*game, NAMES, tau=0.03, n=30, live=True)
    wins = {"first": 0.68, "second": 0.64, "third": 0.66}
    wins = {name: pytest.approx(value) for name, value in wins.items()}
    assert explorer.values == {"tau": 0.03, "n": 30, "start": "π_ref"} | wins


def test_the_sliders_of_the_matrix_spell_it_out(game):
    matrix = game[0]
    again = walk_game(*(matrix[i, (i + 1) % 3].item() for i in range(3)))
    assert torch.allclose(again, matrix)
    other = walk_game(0.9, 0.2, 0.4)
    assert [other[0, 1], other[1, 2], other[2, 0]] == [0.9, 0.2, 0.4]
    assert torch.allclose(other + other.T, torch.ones(3, 3, dtype=torch.float64))


def test_a_response_that_beats_both_others_ends_on_top(game):
    """Paper beats rock and scissors: without cycles self-play goes there."""
    explorer = walk_explorer(*game, NAMES, live=False)
    data = moved(explorer, first=0.1, second=0.9, third=0.5).data
    last = data[data.curve == "self-play, τ = 0"].iloc[-1]
    assert last.paper > 0.99


def test_a_click_on_a_dot_starts_there(game):
    explorer = walk_explorer(*game, NAMES, live=True)
    [dots] = [t for t in explorer.picture.widget.data if t.name == PLACES]
    names, chosen = list(starts(game[1])), 5
    explorer.set(explorer.picks[PLACES](chosen))
    assert explorer.values["start"] == names[chosen] and explorer.last_error is None
    first = moved(explorer, start=names[chosen]).data.groupby("curve").first()
    for name, share in zip(NAMES, starts(game[1])[names[chosen]], strict=True):
        assert first[name].tolist() == pytest.approx([share] * 3)
    x, y = corner_xy(starts(game[1])[names[chosen]])
    assert (dots.x[chosen], dots.y[chosen]) == pytest.approx((x, y), abs=1e-5)


def test_every_start_is_a_mixture(game):
    for shares in starts(game[1]).values():
        assert sum(shares) == pytest.approx(1) and min(shares) > 0
