"""The peak explorer: one line at the policy's place, through gold and covariance."""

import pytest
import torch

from workbench.measure import overoptimisation
from workbench.views.instruments import peak_explorer
from workbench.views.instruments.peak_explorer import peak_caption
from workbench.views.layers import HLine, VLine
from workbench.worlds.reviews import Reviews


@pytest.fixture(scope="module")
def world():
    return Reviews(2)


@pytest.fixture(scope="module")
def proxy(world):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(world.gold.shape, generator=generator, dtype=torch.float64)
    return 0.3 * world.gold + noise


@pytest.fixture(scope="module")
def beta(world, proxy):
    return overoptimisation.peak_beta(world.author, proxy, world.gold)


def test_one_line_stands_at_the_same_place_in_both_panels(world, proxy, beta):
    figure = peak_explorer(world, world.author, proxy, beta=beta, live=False).start
    gold, covariance, reviews = figure.panels.charts
    at = [la.x for c in (gold, covariance) for la in c.layers if isinstance(la, VLine)]
    assert len(at) == 2 and at[0] == at[1] > 0
    assert [la.y for la in covariance.layers if isinstance(la, HLine)] == [0.0]
    assert reviews.horizontal and len(reviews.layers[0].names) == 8


def test_the_caption_says_whether_more_optimisation_helps(world, proxy, beta):
    explorer = peak_explorer(world, world.author, proxy, beta=beta, live=False)
    assert "covariance with the proxy is zero" in explorer.start.caption
    prompt = world.prompts[0]
    before, beyond = (
        explorer.draw(beta=b, prompt=prompt) for b in (4 * beta, beta / 3)
    )
    assert "more optimisation raises gold" in before.caption
    assert "more optimisation lowers gold" in beyond.caption


def test_a_caption_in_numbers():
    said = peak_caption(0.25, -0.1, 0.5, 0.5)
    assert said == (
        "At β = 0.5 gold is 0.25, 0.25 below the highest of the path, and its "
        "covariance with the proxy is -0.10: more optimisation lowers gold."
    )


def test_the_slider_begins_at_the_peak(world, proxy, beta):
    explorer = peak_explorer(world, world.author, proxy, beta=beta, live=True)
    assert explorer.widgets["beta"].value == pytest.approx(beta)
