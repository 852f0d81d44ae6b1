"""The divergence explorer: exponential, line and pole, at the place of each reward."""

import numpy as np
import pytest

from workbench.views.instruments import divergence_explorer
from workbench.views.instruments.divergence_explorer import PURE, ratios
from workbench.worlds.reviews import Reviews

BETA = 0.5


@pytest.fixture(scope="module")
def world():
    return Reviews(2)


def test_each_divergence_has_its_own_growth(world):
    table = ratios(world.author[0], world.gold[0], BETA)
    slope = np.gradient(np.log(table["reverse KL"]), table.reward)
    assert np.allclose(slope, 1 / BETA)  # exponential in the reward
    written = table[table[PURE] > 0]
    slope = np.gradient(written[PURE], written.reward)
    assert np.allclose(slope, slope[0]) and len(written) < len(table)
    best = table.iloc[-1]
    assert best["χ² + KL"] < best["reverse KL"] < best["forward KL"]


def test_the_caption_names_the_best_review(world):
    start = divergence_explorer(
        world, world.author, world.gold, beta=BETA, live=False
    ).start
    best = ratios(world.author[0], world.gold[0], BETA).iloc[-1]
    assert f"{best['reverse KL']:.3g} under reverse KL" in start.caption
    assert len(start.panels.charts) == 2


def test_the_slider_begins_where_it_is_told(world):
    explorer = divergence_explorer(
        world, world.author, world.gold, beta=BETA, live=True
    )
    assert explorer.widgets["beta"].value == pytest.approx(BETA)
    assert "β = 2" in explorer.draw(beta=2.0, prompt=world.prompts[1]).caption
