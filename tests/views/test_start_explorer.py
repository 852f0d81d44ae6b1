"""The start explorer: the signs are those of the identity, at every start."""

import pytest
import torch

from workbench.measure.chosen_reward import pair_distributions
from workbench.views.instruments import start_explorer
from workbench.views.instruments.start_explorer import start_path
from workbench.views.layers import VLine
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews


@pytest.fixture(scope="module")
def world():
    return Reviews(2)


@pytest.fixture(scope="module")
def sides(world):
    return pair_distributions(world.author, world.gold, repeats=True)


def test_the_path_is_a_difference_of_two_divergences(world, sides):
    chosen, rejected = sides
    path = start_path(world.author, chosen, rejected)
    for row in path.itertuples():
        start = (row.a * world.author).log_softmax(-1)
        rise = solutions.kl(chosen, start).mean().item()
        gap = solutions.kl(rejected, start) - solutions.kl(rejected, chosen)
        assert row.chosen == pytest.approx(rise, abs=1e-9)
        assert row.rejected == pytest.approx(gap.mean().item(), abs=1e-9)
    assert path["chosen"].min() >= 0 > path["rejected"].min()


def test_the_line_stands_at_the_start_and_the_bars_are_probabilities(world, sides):
    explorer = start_explorer(world, world.author, *sides, a=0.25, live=False)
    signs, reviews = explorer.start.panels.charts
    assert [la.x for la in signs.layers if isinstance(la, VLine)] == [0.25]
    before, after = reviews.layers
    assert before.names == after.names and len(before.names) == 6
    top = world.index(after.names[0])
    assert after.y[0] == pytest.approx(sides[0][0, top].exp().item())


def test_the_caption_names_the_sign(world, sides):
    explorer = start_explorer(world, world.author, *sides, live=False)
    prompt = world.prompts[0]
    path = start_path(world.author, *sides)
    for at in (path.iloc[0], path.iloc[-1]):
        said = explorer.draw(a=at.a, prompt=prompt).caption
        assert ("ones rise" in said) == (at.rejected > 0)


def test_the_slider_moves(world, sides):
    explorer = start_explorer(world, world.author, *sides, a=0.5, live=True)
    explorer.widgets["a"].value = 1.0
    assert explorer.last_error is None and torch.isfinite(sides[0]).all()
