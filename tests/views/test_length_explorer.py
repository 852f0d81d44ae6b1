"""The length explorer: the optimum of paid labels, written out and at its limits."""

import json

import numpy as np
import pytest
import torch

from workbench.measure import length_control
from workbench.views.instruments import length_explorer
from workbench.views.instruments.length_explorer import BETAS, facts
from workbench.views.instruments.states import MOST
from workbench.views.layers import Bars, Line
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

BETA = 0.7


@pytest.fixture(scope="module")
def world():
    return Reviews(2)


@pytest.fixture(scope="module")
def explorer(world):
    return length_explorer(world, world.author, live=False)


def test_the_facts_are_those_of_the_optimum_by_hand(world):
    """π* ∝ π_ref e^{(r + b|y|)/β}, prompt by prompt."""
    size = length_control.tokens(world).double()
    felt = world.gold.double() + 0.5 * size
    found = facts(world, world.author.double(), felt, torch.tensor([BETA, 2.0]))
    weight = world.author.double().exp() * (felt / BETA).exp()
    best = weight / weight.sum(-1, keepdim=True)
    assert found.gold[0] == pytest.approx(float((best * world.gold).sum(-1).mean()))
    assert found.tokens[0] == pytest.approx(float((best @ size).mean()))
    nats = solutions.kl(best.log(), world.author.double()).mean()
    assert found.kl[0] == pytest.approx(float(nats))
    assert len(found) == 2 and found.kl[1] < found.kl[0]


def test_without_a_bonus_paid_and_honest_labels_are_one_curve(world, explorer):
    for chart in explorer.draw(bonus=0.0, beta=BETA).panels.charts[:2]:
        honest, paid = (layer for layer in chart.layers if isinstance(layer, Line))
        assert len(paid.x) == len(BETAS)
        assert np.interp(paid.x, honest.x, honest.y) == pytest.approx(paid.y, abs=2e-3)
    told = explorer.draw(bonus=0.0, beta=BETA).caption
    gold = told.partition("has gold ")[2].partition(";")[0]
    assert told.endswith(f"give {gold}.")


def test_honest_labels_are_never_worse_at_the_same_kl(explorer):
    """They lie on the frontier: nothing has more gold for its KL."""
    for bonus in (-1.0, -0.5, 0.5, 2.0):
        told = explorer.draw(bonus=bonus, beta=1.0).caption
        gold = float(told.partition("has gold ")[2].partition(";")[0])
        fair = float(told.rpartition("give ")[2].rstrip("."))
        assert fair > gold - 0.005


def test_who_is_paid_for_length_writes_longer(explorer):
    def tokens(bonus):
        told = explorer.draw(bonus=bonus, beta=1.0).caption
        return float(told.partition("writes ")[2].partition(" tokens")[0])

    lengths = [tokens(bonus) for bonus in (-1.0, 0.0, 1.0, 2.0)]
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1]


def test_the_favourites_are_the_likeliest_of_the_optimum(world, explorer):
    figure = explorer.draw(bonus=2.0, beta=BETA)
    felt = world.gold[0].double() + 2 * length_control.tokens(world)
    best = (world.author[0].double() + felt / BETA).log_softmax(-1).exp()
    (bars,) = (la for la in figure.panels.charts[2].layers if isinstance(la, Bars))
    assert bars.y[0] == pytest.approx(best.max().item())
    words = world.text(int(best.argmax()))
    assert bars.names[0] == f"{words} (2)"


def test_the_sliders_move_and_a_book_can_ship_it(world):
    explorer = length_explorer(world, world.author, live=True)
    explorer.widgets["bonus"].value = -0.3
    explorer.widgets["beta"].value = explorer.controls["beta"].values[3]
    assert explorer.last_error is None
    found = json.dumps(explorer.states(), separators=(",", ":"))
    assert len(found) < MOST / 2
