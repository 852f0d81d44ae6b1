"""The link dial: curves of the library, and walks that end where a push is zero."""

import math

import pytest
import torch

from workbench.measure import gradient_weights
from workbench.methods.direct.links import dpo, hinge, ipo
from workbench.views.instruments import link_explorer
from workbench.views.instruments.link_explorer import link_figure
from workbench.views.instruments.link_state import FAMILIES, Link, Pulled, margin_walk
from workbench.views.layers import Line, Points

CONSTANT = Link(lambda margin, c: -c * margin, lambda margin, c: c)
SQUARE = Link(
    lambda margin, c: (1 / c - margin) ** 2, lambda margin, c: 2 * (1 / c - margin)
)
LIBRARY = {
    "DPO": (dpo, dpo.Config),
    "hinge": (hinge, hinge.Config),
    "IPO": (ipo, ipo.Config),
}


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("strength", [0.3, 1.7])
def test_a_family_has_the_loss_and_the_push_of_the_library(name, strength):
    """The library's push is a derivative of its loss by autograd."""
    method, config = LIBRARY[name]
    at = torch.linspace(-2.03, 8, 41).double()
    right = gradient_weights.of_grid(method, config(strength), at, 0.0)
    pulled = Pulled(FAMILIES[name], strength)
    assert [pulled.loss(d) for d in at.tolist()] == pytest.approx(right.loss.tolist())
    pushes = [pulled.push(d) for d in at.tolist()]
    assert pushes == pytest.approx(right.push_chosen.tolist())


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_a_walk_ends_where_the_push_is_zero(strength):
    end = margin_walk(Pulled(SQUARE, strength))[-1]
    assert end == pytest.approx(1 / strength)
    assert margin_walk(Pulled(CONSTANT, strength), 10)[-1] == pytest.approx(strength)


def test_flipped_labels_count_with_their_own_loss_and_against_the_push():
    """At D = 2 with ε = ¼: (¾)(−2) + ¼(+2) = −1, and ¾ − ¼ = ½."""
    pulled = Pulled(CONSTANT, 1.0, 0.25)
    assert (pulled.loss(2.0), pulled.push(2.0)) == (-1.0, 0.5)


def test_with_flipped_labels_a_margin_rests_where_both_pushes_are_equal():
    """DPO: (1 − ε) σ(−βD) = ε σ(βD) at D = log((1 − ε)/ε)/β; clean it never rests."""
    walks = {
        e: margin_walk(Pulled(FAMILIES["DPO"], 1.0, e), 4000) for e in (0, 0.1, 0.3)
    }
    assert walks[0.1][-1] == pytest.approx(math.log(9), abs=1e-3)
    assert walks[0.3][-1] == pytest.approx(math.log(7 / 3), abs=1e-6)
    assert walks[0][-1] > 5 and walks[0][-1] > walks[0][-2]
    ipo_end = margin_walk(Pulled(FAMILIES["IPO"], 0.5, 0.1))[-1]
    assert ipo_end == pytest.approx(0.8)  # (1 − 2ε)/(2τ)


def test_there_are_a_line_per_link_in_each_panel_and_marks_at_the_ends():
    figure = link_figure(1.0, 0.5, 0.3)
    loss, push, walk = figure.panels.charts
    for chart in (loss, push, walk):
        lines = [layer for layer in chart.layers if isinstance(layer, Line)]
        assert [line.label for line in lines] == list(FAMILIES)
    [marks] = [layer for layer in loss.layers if isinstance(layer, Points)]
    assert marks.x[0] == pytest.approx(math.log(7 / 3), abs=1e-6)
    # its own entropy: the loss is lowest where σ(D) is the share of the labels
    entropy = -0.7 * math.log(0.7) - 0.3 * math.log(0.3)
    assert marks.y[0] == pytest.approx(entropy)
    assert figure.data["push"][0] == pytest.approx(0.0, abs=1e-6)


def test_what_is_far_outside_a_panel_is_not_drawn():
    """IPO asks for 5 nats: its loss at −2 is 49."""
    loss = link_figure(1.0, 0.1).panels.charts[0]
    by_name = {layer.label: layer for layer in loss.layers}
    assert math.isnan(by_name["IPO"].y[0]) and not math.isnan(by_name["DPO"].y[0])


def test_the_caption_says_what_is_set_and_what_share_of_labels_the_pair_wins():
    explorer = link_explorer(live=False)
    moved = explorer.draw(beta=1.0, tau=0.5, flips=0.09).caption
    assert "wins 91% of its labels" in moved and "IPO at 0.82" in moved
    assert "with β = 1 and τ = 0.5" in explorer.start.caption
    assert "always wins is DPO at 5.28, hinge at 1.00, IPO at 1.00" in (
        explorer.start.caption
    )


@pytest.mark.parametrize("name", ["beta", "tau", "flips"])
def test_every_slider_moves(name):
    explorer = link_explorer(live=True)
    before = explorer.status.value
    slider = explorer.widgets[name]
    slider.value = next(v for _, v in slider.options if v != slider.value)
    assert explorer.last_error is None and explorer.status.value != before
