"""The thumb explorer: the value of the paper, its slope, and when a review rises."""

import json

import pytest
import torch

from workbench.measure import single_responses
from workbench.methods.direct.unpaired import kto
from workbench.views.instruments import thumb_explorer
from workbench.views.instruments.states import MOST
from workbench.views.instruments.thumb_explorer import thumb_curves
from workbench.views.layers import VLine

BETA, UP, DOWN, POINT = 0.5, 1.2, 0.8, 1.0


@pytest.fixture(scope="module")
def curves():
    frame = thumb_curves(BETA, UP, DOWN, POINT)
    return dict(iter(frame.groupby("thumb")))


def test_the_value_is_a_sigmoid_around_the_reference_point(curves):
    """λ_D σ(β(d − z₀)) and λ_U σ(β(z₀ − d)), Ethayarajh et al. 2024, written out."""
    d = torch.tensor(curves["thumb up"].logratio.to_numpy())
    gain = BETA * (d - POINT)
    up = UP / (1 + (-gain).exp())
    down = DOWN / (1 + gain.exp())
    assert curves["thumb up"].value.tolist() == pytest.approx(up.tolist())
    assert curves["thumb down"].value.tolist() == pytest.approx(down.tolist())


def test_the_push_is_the_slope_of_the_value_and_largest_at_the_point(curves):
    for name, weight, sign in (("thumb up", UP, 1), ("thumb down", DOWN, -1)):
        part = curves[name]
        rise = part.value.diff().to_numpy()[1:] / part.logratio.diff().to_numpy()[1:]
        middle = (part.push.to_numpy()[1:] + part.push.to_numpy()[:-1]) / 2
        assert rise == pytest.approx(middle, abs=2e-4)
        top = part.loc[part.push.abs().idxmax()]
        assert top.logratio == pytest.approx(POINT)
        assert top.push == pytest.approx(sign * BETA * weight / 4)


def test_the_share_in_the_caption_is_where_the_push_turns():
    """λ_U/(λ_D + λ_U) = 1/3: below it a review falls, above it it rises."""
    explorer = thumb_explorer(BETA, live=False)
    figure = explorer.draw(desirable=2.0, undesirable=1.0, point=0.0)
    assert "more than 33% of its readers" in figure.caption
    d = torch.linspace(-5, 5, 11).double()
    cfg = kto.Config(BETA, 2.0, 1.0)
    pushes = [single_responses.push(kto, cfg, d, share) for share in (0.3, 0.36)]
    assert (pushes[0] < 0).all() and (pushes[1] > 0).all()


def test_the_reference_point_is_marked_in_both_panels():
    figure = thumb_explorer(1.0, live=False).draw(1.0, 1.5, 2.0)
    for chart in figure.panels.charts:
        marks = [layer.x for layer in chart.layers if isinstance(layer, VLine)]
        assert marks == [2.0]
    assert "up by 0.25, down by 0.38" in figure.caption  # 1.5/4


def test_the_sliders_move_and_a_book_can_ship_it():
    explorer = thumb_explorer(1.0, live=True)
    explorer.widgets["point"].value = 1.5
    explorer.widgets["undesirable"].value = 0.55
    assert explorer.last_error is None
    found = json.dumps(explorer.states(), separators=(",", ":"))
    assert len(found) < MOST / 2
