"""The explorer of advantages: both ends of λ by hand, and what one token hears."""

import json

import pytest
import torch

from workbench.views.instruments import gae_explorer
from workbench.views.instruments.gae_explorer import ERROR, LUCK, first_hears, gae
from workbench.views.instruments.states import MOST

REWARDS, VALUES = [-0.1, 0.2, 1.0], [0.5, 0.4, 0.7]
GIVEN = torch.tensor([REWARDS, VALUES], dtype=torch.float64)


def test_lambda_zero_is_the_surprise_and_one_the_return_less_the_value():
    surprise = [-0.1 + 0.4 - 0.5, 0.2 + 0.7 - 0.4, 1.0 - 0.7]
    assert gae(*GIVEN, 0.0, 1.0).tolist() == pytest.approx(surprise)
    to_come = [1.1 - 0.5, 1.2 - 0.4, 1.0 - 0.7]
    assert gae(*GIVEN, 1.0, 1.0).tolist() == pytest.approx(to_come)


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
def test_what_the_first_token_hears_by_hand(lam):
    """γ = 1: the score counts λ² after two tokens, the later values what is left."""
    heard = first_hears(*GIVEN, lam, 1.0)
    assert heard[LUCK] == pytest.approx(lam**2)
    assert heard[ERROR] == pytest.approx(1 - lam**2)
    # with γ: γ(1 − λ)·V₂ + γλ·γ(1 − λ)·V₃, and (γλ)² of the score
    faded = first_hears(*GIVEN, lam, 0.9)
    assert faded[LUCK] == pytest.approx((0.9 * lam) ** 2)
    assert faded[ERROR] == pytest.approx(0.9 * (1 - lam) * (1 + 0.9 * lam))


def test_it_hears_the_same_whatever_rewards_and_values_are():
    other = torch.tensor([[3.0, -2.0, 0.5], [1.0, 1.0, 1.0]], dtype=torch.float64)
    one, two = first_hears(*GIVEN, 0.7, 0.95), first_hears(*other, 0.7, 0.95)
    assert one == pytest.approx(two)


def test_bars_and_caption_say_the_advantages():
    figure = gae_explorer(REWARDS, VALUES, lam=0.5, live=False).start
    assert figure.data["λ = 0.5, now"].tolist() == pytest.approx(
        gae(*GIVEN, 0.5, 1.0).tolist()
    )
    assert "token 1 is +0.12 (-0.20 with λ = 0 and +0.60 with λ = 1)" in figure.caption
    assert "by 0.75 (bias)" in figure.caption and "by 0.25 (noise)" in figure.caption


def test_the_sliders_move_and_a_book_can_ship_it():
    explorer = gae_explorer(REWARDS, VALUES, live=True)
    explorer.widgets["lam"].value = 0.0
    explorer.widgets["gamma"].value = 0.9
    assert explorer.last_error is None
    found = json.dumps(explorer.states(), separators=(",", ":"))
    assert len(found) < MOST / 2
