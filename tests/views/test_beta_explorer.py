"""The β explorer with a wrong proxy: a box to tick, and the frontier above it."""

import json

import pytest

from workbench.views.instruments import beta_explorer
from workbench.views.instruments.beta_figure import below_frontier
from workbench.views.instruments.beta_state import beta_path, beta_state
from workbench.views.instruments.states import MOST
from workbench.views.layers import Line, Points, VLine
from workbench.worlds.reviews import Reviews


@pytest.fixture(scope="module")
def world():
    return Reviews(3)


@pytest.fixture(scope="module")
def wrong(world):
    """The penalty for grammar with the wrong sign."""
    return world.gold - 2 * world.attributes["fluency"]


@pytest.fixture(scope="module")
def explorer(world, wrong):
    return beta_explorer(world, world.author, world.gold, wrong=wrong, live=True)


def curves(figure):
    layers = figure.panels.charts[0].layers
    return {la.label: la for la in layers if isinstance(la, Line)}


def point(figure):
    """Where the gold of the marked optimum stands."""
    layers = figure.panels.charts[0].layers
    dots = [la for la in layers if isinstance(la, Points)]
    return dots[-1].x[0], dots[-1].y[0]


def test_without_a_wrong_proxy_there_is_no_box(world):
    plain = beta_explorer(world, world.author, world.gold, live=False)
    assert list(plain.controls) == ["beta", "prompt"]
    assert list(curves(plain.start)) == ["gold"]


def test_the_optimum_of_gold_is_a_point_of_the_frontier(explorer):
    """The slider's values are those of the path, so the point is one of its points."""
    for beta in (1.0, 0.1):
        figure = explorer.draw(beta=beta, prompt="film", use_wrong=False)
        assert list(curves(figure)) == ["frontier: optima of gold"]
        line = curves(figure)["frontier: optima of gold"]
        ends = dict(zip(line.x, line.y, strict=True))
        x, y = point(figure)
        nearest = min(ends, key=lambda at: abs(at - x))
        assert (nearest, ends[nearest]) == pytest.approx((x, y), abs=1e-6)
        assert "frontier" not in figure.caption


def test_the_wrong_proxy_is_optimised_below_the_frontier(explorer, world, wrong):
    figure = explorer.draw(beta=0.5, prompt="plot", use_wrong=True)
    state = beta_state(world, world.author, wrong, 0.5, "plot")
    assert point(figure) == pytest.approx((state.kl**0.5, state.gold))
    assert list(curves(figure)) == ["frontier: optima of gold", "proxy", "gold"]
    frontier = beta_path(world, world.author, world.gold, "plot")
    lost = below_frontier(state, frontier)
    assert lost > 0.3 and f"{lost:.2f} below what the frontier has" in figure.caption
    black = [
        la.style.dash
        for la in figure.panels.charts[0].layers
        if isinstance(la, Line | VLine) and la.style.colour == "#000000"
    ]
    assert black == ["dash"], "only the frontier is black, and dashed"


def test_the_distance_to_the_frontier_by_hand(world):
    """Half-way between two points of the frontier, 0.25 below their mean."""
    frontier = beta_path(world, world.author, world.gold, "film")
    two = frontier.sort_values("kl").iloc[30:32]
    middle = two.mean(numeric_only=True)
    state = beta_state(world, world.author, world.gold, 1.0, "film")
    here = type(state)(1.0, middle.kl, middle.gold - 0.25, 0.0, 0.0, state.top)
    assert below_frontier(here, frontier) == pytest.approx(0.25)


def test_gold_turns_over_along_the_wrong_proxy_only(explorer):
    for use_wrong in (False, True):
        figure = explorer.draw(beta=0.1, prompt="film", use_wrong=use_wrong)
        heights = list(curves(figure).values())[-1].y  # from small β to large
        assert (max(heights) - heights[0] > 0.3) is use_wrong


def test_the_box_moves_the_picture_and_the_states_fit_a_page(explorer):
    said = explorer.status.value
    explorer.widgets["use_wrong"].value = True
    assert explorer.last_error is None and explorer.status.value != said
    text = json.dumps(explorer.states(), separators=(",", ":"))
    assert len(text.encode()) <= MOST
