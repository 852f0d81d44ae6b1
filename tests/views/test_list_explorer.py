"""The list explorer: target minus share, in lists of every length."""

import json
from math import exp

import pytest
import torch

from workbench.views.instruments import list_explorer
from workbench.views.instruments.list_explorer import list_state
from workbench.views.instruments.states import MOST
from workbench.views.layers import Bars

NAMES = ["good", "fun", "dull", "fun"]
SCORES = torch.tensor([1.0, 0.5, -1.0, 0.5], dtype=torch.float64)
MOVED = torch.tensor([0.9, -0.4, 0.3, 0.0], dtype=torch.float64)


def test_target_share_and_push_by_hand():
    state = list_state(SCORES[:2], MOVED[:2], 0.5)
    target = 1 / (1 + exp((0.5 - 1.0) / 0.5))
    share = 1 / (1 + exp(-0.4 - 0.9))
    assert state.target[0] == pytest.approx(target)
    assert state.share[0] == pytest.approx(share)
    assert state.push.tolist() == pytest.approx([target - share, share - target])


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("temperature", [0.05, 1.0, 5.0])
def test_a_list_pushes_as_much_up_as_down(k, temperature):
    state = list_state(SCORES[:k], MOVED[:k], temperature)
    assert state.push.sum() == pytest.approx(0.0, abs=1e-12)
    assert (state.target - state.share).tolist() == pytest.approx(state.push.tolist())


def test_no_push_where_the_log_ratios_are_scores_over_the_temperature():
    """d = r/τ + c is π* seen from any list, whoever drew it."""
    state = list_state(SCORES, SCORES / 0.7 + 3.0, 0.7)
    assert state.push.abs().max() < 1e-12
    cold = list_state(SCORES, 0 * MOVED, 0.01)
    assert cold.target[0] == pytest.approx(1.0)
    warm = list_state(SCORES, 0 * MOVED, 1e6)
    assert warm.target.tolist() == pytest.approx([0.25] * 4, abs=1e-5)


def test_a_list_has_as_many_bars_as_the_slider_says():
    explorer = list_explorer(NAMES, SCORES, MOVED, live=False)
    for k in (2, 3, 4):
        figure = explorer.draw(k=k, temperature=0.5)
        target, share = (
            la for la in figure.panels.charts[0].layers if isinstance(la, Bars)
        )
        assert len(target.y) == len(share.y) == k
        assert sum(target.y) == pytest.approx(1.0)
        assert figure.data["response"].tolist() == NAMES[:k]


def test_the_caption_names_the_best_and_the_hardest_push():
    told = list_explorer(NAMES, SCORES, k=2, live=False).start.caption
    assert "“good” shall have 73% and has 50%" in told  # e^1/(1 + e^1), and a half
    assert "+0.23, on “good”" in told


def test_the_sliders_move_and_a_book_can_ship_it():
    explorer = list_explorer(NAMES, SCORES, MOVED, live=True)
    explorer.widgets["k"].value = 2
    explorer.widgets["temperature"].value = explorer.controls["temperature"].values[3]
    assert explorer.last_error is None
    found = json.dumps(explorer.states(), separators=(",", ":"))
    assert len(found) < MOST / 2
