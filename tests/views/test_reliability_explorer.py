"""The reliability explorer: known models, common draws, and what epochs change."""

import json

import pytest
import torch

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.measure.reward_model import HeldOut
from workbench.views.instruments import reliability_explorer
from workbench.views.instruments.reliability_explorer import reliability_state
from workbench.views.instruments.states import MOST
from workbench.views.layers import HLine, Line, VLine
from workbench.worlds.reviews import Reviews


@pytest.fixture(scope="module")
def world():
    return Reviews(2)


@pytest.fixture(scope="module")
def held_out(world):
    fresh = sample_pairs(world, world.author, 500, Annotator(), generator(1, "held"))
    return HeldOut(world, world.author, fresh)


@pytest.fixture(scope="module")
def explorer(world, held_out):
    start = {"pairs": 64, "flip": 0.0, "epochs": 8, "live": False}
    return reliability_explorer(world, world.author, held_out, **start)


def lines(chart):
    return {la.label: la for la in chart.layers if isinstance(la, Line)}


def test_the_state_of_gold_is_the_ceiling(world, held_out):
    """And a score that is gold turned round is right as often as gold is wrong."""
    gold = reliability_state(held_out, world.gold)
    assert gold["accuracy"] == pytest.approx(gold["ceiling"])
    mass = world.author.exp()
    mean = (mass * world.gold).sum(-1, keepdim=True)
    spread = (mass * (world.gold - mean) ** 2).sum(-1).mean() ** 0.5
    assert gold["spread"] == pytest.approx(spread.item())
    turned = reliability_state(held_out, -2 * world.gold)
    assert turned["accuracy"] == pytest.approx(1 - gold["ceiling"])
    assert turned["spread"] == pytest.approx(2 * gold["spread"])
    nothing = reliability_state(held_out, torch.zeros_like(world.gold))
    assert nothing["accuracy"] == pytest.approx(0.5) and nothing["spread"] == 0


def test_only_what_is_exact_is_black_and_dashed(explorer):
    for chart in explorer.start.panels.charts:
        black = [la for la in chart.layers if la.style.colour == "#000000"]
        assert len(black) == 1 and black[0].style.dash == "dash"
        assert black[0].label in ("calibrated", "gold reward")


def test_epochs_move_the_line_and_the_diagram_and_no_curve(explorer):
    now, later = (explorer.draw(pairs=64, flip=0.0, epochs=n) for n in (8, 64))
    pairs = zip(now.panels.charts, later.panels.charts, strict=True)
    for before, after in list(pairs)[1:]:
        assert lines(before)["model"].y == lines(after)["model"].y
        at = [la.x for c in (before, after) for la in c.layers if isinstance(la, VLine)]
        assert at == [8, 64]
    assert now.data["predicted"].tolist() != later.data["predicted"].tolist()


def test_the_scale_grows_while_the_ranking_stays(explorer):
    """Sixty-four pairs: overconfident in the end, as lesson 10 says of a network."""
    _, ranking, scale = explorer.draw(pairs=64, flip=0.0, epochs=64).panels.charts
    spreads, accuracies = lines(scale)["model"].y, lines(ranking)["model"].y
    assert spreads == sorted(spreads) and spreads[-1] > 3 * spreads[0]
    assert abs(accuracies[-1] - accuracies[0]) < 0.05
    top = [la.y for la in ranking.layers if isinstance(la, HLine)]
    assert max(accuracies) <= top[0]
    bins = explorer.draw(pairs=64, flip=0.0, epochs=64).data
    assert bins["predicted"].iloc[-1] > bins["observed"].iloc[-1] + 0.02


def test_the_bins_hold_the_true_chances(explorer, held_out):
    """In both orders of every pair the mean chance is one half."""
    bins = explorer.start.data
    for column in ("predicted", "observed"):
        assert (bins["share"] * bins[column]).sum() == pytest.approx(0.5)
    assert bins["share"].sum() == pytest.approx(1)


def test_the_explorer_moves_and_fits_a_page(world, held_out):
    explorer = reliability_explorer(world, world.author, held_out, live=True)
    for name, value in (("pairs", 1024), ("flip", 0.4), ("epochs", 64)):
        said = explorer.status.value
        explorer.widgets[name].value = value
        assert explorer.last_error is None and explorer.status.value != said
    text = json.dumps(explorer.states(), separators=(",", ":"))
    assert len(text.encode()) <= MOST / 2
