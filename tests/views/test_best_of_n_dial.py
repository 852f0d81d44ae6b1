"""The best-of-n dial: its slope is the slope, its draws are common, its line is one."""

import json
import math

import pytest
import torch

from workbench.measure import overoptimisation
from workbench.methods.decoding import best_of_n
from workbench.views.instruments import best_of_n_dial
from workbench.views.instruments.best_of_n_dial import dial_caption
from workbench.views.instruments.best_of_n_state import NS, best_of_n_path, push_of_n
from workbench.views.instruments.states import MOST
from workbench.views.layers import HLine, VLine
from workbench.worlds.reviews import Reviews


@pytest.fixture(scope="module")
def world():
    return Reviews(2)


@pytest.fixture(scope="module")
def proxy(world):
    """A proxy with many ties."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(world.gold.shape, generator=generator, dtype=torch.float64)
    return (2 * (0.3 * world.gold + noise)).round()


@pytest.fixture(scope="module")
def dial(world):
    return best_of_n_dial(world, world.author, n=16, pairs=64, flip=0.2, live=False)


def test_the_push_by_hand():
    """Three responses of mass ½, ¼, ¼; the last two tie above the first.

    P_n(first) = 2⁻ⁿ: its push is −n log 2. The others share 1 − 2⁻ⁿ, whose push is
    n log 2 · 2⁻ⁿ/(1 − 2⁻ⁿ).
    """
    ref = torch.tensor([[0.5, 0.25, 0.25]]).double().log()
    scores = torch.tensor([[0.0, 3.0, 3.0]]).double()
    for n in (1, 2, 5):
        rest = n * math.log(2) * 2.0**-n / (1 - 2.0**-n)
        push = push_of_n(ref, scores, n)[0].tolist()
        assert push == pytest.approx([-n * math.log(2), rest, rest])


def test_the_covariance_is_the_slope_of_gold_in_log_n(world, proxy):
    """Differences of the exact means at n − 1 and n + 1, ties included."""
    ns = [n + step for n in (20, 300) for step in (-1, 0, 1)]
    path = best_of_n_path(world.author, proxy, world.gold, ns).set_index("n")
    for n in (20, 300):
        rise = (path.gold[n + 1] - path.gold[n - 1]) / math.log((n + 1) / (n - 1))
        assert path.slope[n] == pytest.approx(rise, abs=1e-3)
        assert abs(path.slope[n] - path.covariance[n]) > 0.01
    assert best_of_n_path(world.author, proxy, world.gold, [1]).slope[0] > 0


def test_the_mean_push_is_zero(world, proxy):
    """Probabilities add up to 1 for every n."""
    for n in (1, 3, 4096):
        logps = best_of_n.log_distribution(world.author, proxy, n)
        mean = (logps.exp() * push_of_n(world.author, proxy, n)).sum(-1)
        assert torch.allclose(mean, torch.zeros_like(mean), atol=1e-9)


def test_the_path_is_that_of_the_lessons_function(world, proxy):
    mine = best_of_n_path(world.author, proxy, world.gold)
    other = overoptimisation.best_of_n_curve(world.author, proxy, world.gold, NS)
    for name in ("n", "kl", "gold", "proxy"):
        assert mine[name].tolist() == pytest.approx(other[name].tolist())
    assert (mine["kl"].diff().dropna() > 0).all()


def test_one_line_stands_at_the_same_place_in_both_panels(dial):
    rewards, slope, reviews = dial.start.panels.charts
    at = [la.x for c in (rewards, slope) for la in c.layers if isinstance(la, VLine)]
    assert len(at) == 2 and at[0] == at[1] > 0
    assert [la.y for la in slope.layers if isinstance(la, HLine)] == [0.0]
    assert reviews.horizontal and len(reviews.layers[0].names) == 8


def test_n_moves_the_line_and_no_curve(dial):
    """And the pairs, whose labels do not depend on n, move every curve."""

    def curves(**moved):
        figure = dial.draw(**dial.defaults | moved)
        layers = figure.panels.charts[0].layers
        return layers[0].x, [layer.y for layer in layers if hasattr(layer, "markers")]

    here, same = curves()
    there, again = curves(n=1024)
    assert there > here and again == same
    assert curves(pairs=128)[1] != same != curves(flip=0.0)[1]
    assert curves(pairs=64, flip=0.2) == (here, same)


def test_the_caption_says_what_more_draws_do(world, proxy):
    path = best_of_n_path(world.author, proxy, world.gold)
    top = int(path.loc[path.gold.idxmax()].n)
    assert 1 < top < 4096, "this proxy has no peak to speak of"
    assert "more draws raise it" in dial_caption(path, 1)
    assert "more draws lower it" in dial_caption(path, 4 * top)
    assert f"the highest (n = {top})" in dial_caption(path, top)


def test_the_dial_moves_and_fits_a_page(world):
    dial = best_of_n_dial(world, world.author, n=16, pairs=64, flip=0.2, live=True)
    dial.widgets["n"].value = 256
    dial.widgets["flip"].value = 0.4
    assert dial.last_error is None and "n = 256" in dial.status.value
    text = json.dumps(dial.states(), separators=(",", ":"))
    assert len(text.encode()) <= MOST / 2
