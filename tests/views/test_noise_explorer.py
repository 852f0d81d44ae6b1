"""The noise explorer: where pushes of both labels cancel, and what cannot be told."""

import json

import pytest
import torch

from workbench.methods.direct.links import dpo
from workbench.methods.direct.noise import cdpo, rdpo
from workbench.views.instruments import noise_explorer
from workbench.views.instruments.noise_explorer import NAMES, rests, signal_kept
from workbench.views.instruments.states import MOST
from workbench.views.layers import Bars, Line
from workbench.worlds import solutions

REF = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
REWARD = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
CLEAN = torch.tensor([0.2, 1.0, 2.0], dtype=torch.float64)
LOSSES = {
    "dpo": (dpo, lambda told: dpo.Config(1.0)),
    "cdpo": (cdpo, lambda told: cdpo.Config(1.0, told)),
    "rdpo": (rdpo, lambda told: rdpo.Config(1.0, told)),
}


@pytest.mark.parametrize("told", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("key", LOSSES)
def test_at_rest_the_pushes_of_both_labels_cancel(key, told):
    """The library's own weights, on labels of which a fifth is flipped."""
    flip = 0.2
    margin = rests(CLEAN, signal_kept(flip, told)[key])
    chance = (1 - flip) * CLEAN.sigmoid() + flip * (1 - CLEAN.sigmoid())
    module, config = LOSSES[key]
    up, down = (module.weight(m, config(told)) for m in (margin, -margin))
    assert torch.allclose(chance * up, (1 - chance) * down)


def test_the_true_rate_mends_the_labels_for_one_loss_only():
    kept = signal_kept(0.3, 0.3)
    assert torch.allclose(rests(CLEAN, kept["rdpo"]), CLEAN)
    assert (rests(CLEAN, kept["cdpo"]) < rests(CLEAN, kept["dpo"])).all()
    assert (rests(CLEAN, kept["dpo"]) < CLEAN).all()


def test_too_high_a_rate_overcorrects_until_a_clear_winner_has_no_place():
    kept = signal_kept(0.2, 0.3)["rdpo"]  # 1.5: the end is p = 1/2 + 1/3
    margin = rests(torch.tensor([1.0, 1.5, 1.7]).double(), kept)
    assert margin[0] > 1.0 and margin[1] > 1.5
    assert margin[2].isnan()  # its p is 0.85


@pytest.fixture(scope="module")
def explorer():
    return noise_explorer(REF, REWARD, ["A", "B", "C"], live=False)


def test_the_bars_are_the_policies_at_rest(explorer):
    bars = explorer.start.panels.charts[1].layers
    best = solutions.optimal_policy(REF, REWARD, 1.0).exp().tolist()
    heights = {bar.label: bar.y for bar in bars if isinstance(bar, Bars)}
    assert heights["π*, clean labels"] == pytest.approx(best)
    assert heights["rDPO"] == pytest.approx(best)
    wanted = ("cDPO", "DPO", "rDPO")  # the best response, the more the better
    assert sorted(wanted, key=lambda name: heights[name][2]) == list(wanted)


def test_what_has_no_minimum_is_not_drawn(explorer):
    figure = explorer.draw(flip=0.1, assumed=0.4)
    assert "nowhere under rDPO" in figure.caption
    assert "rDPO corrects more" in figure.caption
    assert "rDPO" not in figure.data.columns
    lines = [la for la in figure.panels.charts[0].layers if isinstance(la, Line)]
    curve = next(line for line in lines if line.label == NAMES["rdpo"])
    again = rests(torch.tensor(curve.x).double(), signal_kept(0.1, 0.4)["rdpo"])
    assert again.tolist() == pytest.approx(list(curve.y))


def test_without_flips_all_four_are_one(explorer):
    caption = explorer.draw(flip=0.0, assumed=0.0).caption
    assert caption.count("at 2.00") == 3 and "corrects" not in caption


def test_the_sliders_move_and_a_book_can_ship_it():
    explorer = noise_explorer(REF, REWARD, ["A", "B", "C"], live=True)
    explorer.widgets["assumed"].value = 0.3
    explorer.widgets["flip"].value = 0.05
    assert explorer.last_error is None
    found = json.dumps(explorer.states(), separators=(",", ":"))
    assert len(found) < MOST / 2
