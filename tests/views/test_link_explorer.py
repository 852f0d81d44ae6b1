"""The link explorer: pushes as given, and walks that end where a push is zero."""

import math

import pytest

from workbench.views.instruments import link_explorer
from workbench.views.instruments.link_explorer import margin_walk
from workbench.views.layers import Line

PUSHES = {
    "constant": lambda margin, strength: strength,
    "pulls back": lambda margin, strength: 2 * (1 / strength - margin),
}


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_a_walk_ends_where_the_push_is_zero(strength):
    assert margin_walk(PUSHES["pulls back"], strength)[-1] == pytest.approx(
        1 / strength
    )
    assert margin_walk(PUSHES["constant"], strength, 10)[-1] == pytest.approx(strength)


def test_both_panels_have_a_line_per_link_and_the_caption_the_ends():
    explorer = link_explorer(PUSHES, live=False)
    push, walk = explorer.start.panels.charts
    for chart in (push, walk):
        lines = [layer for layer in chart.layers if isinstance(layer, Line)]
        assert [line.label for line in lines] == list(PUSHES)
    assert "constant at 200.00, pulls back at 1.00" in explorer.start.caption


def test_with_flipped_labels_a_margin_rests_where_both_pushes_are_equal():
    """DPO: (1 − ε) σ(−βD) = ε σ(βD) at D = log((1 − ε)/ε)/β; clean it never rests."""

    def dpo(margin, strength):
        return strength / (1 + math.exp(strength * margin))

    ends = {e: margin_walk(dpo, 1.0, 4000, e)[-1] for e in (0.0, 0.1, 0.3)}
    assert ends[0.1] == pytest.approx(math.log(9), abs=1e-3)
    assert ends[0.3] == pytest.approx(math.log(7 / 3), abs=1e-6)
    assert ends[0.0] > 5


def test_the_caption_says_what_share_of_labels_the_pair_wins():
    explorer = link_explorer(PUSHES, live=False)
    assert "wins 91% of its labels" in explorer.draw(strength=1.0, flips=0.09).caption
    assert "always wins" in explorer.start.caption


def test_the_slider_moves():
    explorer = link_explorer(PUSHES, live=True)
    explorer.widgets["strength"].value = 0.5
    assert explorer.last_error is None
