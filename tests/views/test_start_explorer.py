"""The start explorer: signs from the identity, masses that add up, an exact path."""

import json

import pytest
import torch

from workbench.measure.chosen_reward import pair_distributions
from workbench.models.policy import TabularPolicy
from workbench.views.instruments import start_explorer
from workbench.views.instruments.sft_path import (
    GROUPS,
    RATE,
    groups,
    mass_path,
    sft_tables,
    start_path,
)
from workbench.views.instruments.states import MOST
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


def test_a_step_is_the_gradient_of_the_loss(world, sides):
    """Against autograd through the library's table, for the loss −E_{p_c}[log π]."""
    start = (0.3 * world.author).log_softmax(-1)
    policy = TabularPolicy(world, start)
    logps = policy.response_logps()
    (-(sides[0].exp() * logps).sum()).backward()
    (slope,) = (weights.grad for weights in policy.parameters())
    (_, after) = sft_tables(start, sides[0], (0, 1))
    assert torch.allclose(after, (start - RATE * slope).log_softmax(-1))


def test_the_loss_falls_and_the_path_ends_at_the_data(world, sides):
    start = (0.3 * world.author).log_softmax(-1)
    steps = (0, 1, 10, 100, 20_000)
    left = [
        solutions.kl(sides[0], table).mean().item()
        for table in sft_tables(start, sides[0], steps)
    ]
    assert left == sorted(left, reverse=True) and left[-1] < 1e-3 < left[0]
    assert torch.equal(
        sft_tables(start, sides[0], (3, 10))[1], sft_tables(start, sides[0], (10,))[0]
    )


def test_the_three_groups_by_hand(world, sides):
    """μ < 1/2000 is in no pair of 1,000 on average; p_c > p_r where B > ½."""
    group = groups(world.author, *sides)
    mu = world.author.exp()
    assert ((group == 2) == (mu < 1 / 2000)).all() and (group == 2).any()
    wins = (sides[0] - world.author).exp() / 2  # B(y), as p_c = 2 μ B
    assert (wins[group == 0] > 0.5).all() and (wins[group == 1] <= 0.5 + 1e-9).all()
    film = world.prompts.index("film")
    of = [GROUPS[group[film, world.index(text)]] for text in ("good", "bad")]
    assert of == ["chosen", "rejected"]


def test_the_masses_add_up_and_the_drift_starts_at_zero(world, sides):
    group, steps = groups(world.author, *sides), (0, 5, 50)
    start = torch.zeros_like(world.author).log_softmax(-1)
    path = mass_path(sft_tables(start, sides[0], steps), group, steps)
    assert path[[*GROUPS]].sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    assert path["kl"][0] == pytest.approx(0) and path["kl"].is_monotonic_increasing
    even = [(group == number).double().mean().item() for number in range(3)]
    assert path.loc[0, [*GROUPS]].tolist() == pytest.approx(even)
    assert path["chosen"].is_monotonic_increasing


def test_the_lines_stand_at_the_start_and_at_the_step(world, sides):
    explorer = start_explorer(world, world.author, *sides, a=0.25, step=20, live=False)
    signs, masses, reviews = explorer.start.panels.charts
    for chart, at in ((signs, 0.25), (masses, 20)):
        assert [la.x for la in chart.layers if isinstance(la, VLine)] == [at]
    before, now, end = reviews.layers
    assert before.names == now.names == end.names and len(before.names) == 6
    top = world.index(end.names[0])
    assert end.y[0] == pytest.approx(sides[0][0, top].exp().item())
    flat = (0.25 * world.author[0]).log_softmax(-1)
    assert before.y[0] == pytest.approx(flat[top].exp().item())
    assert before.y[0] < now.y[0] < end.y[0]


def test_the_caption_names_the_sign(world, sides):
    explorer = start_explorer(world, world.author, *sides, live=False)
    prompt = world.prompts[0]
    path = start_path(world.author, *sides)
    for at in (path.iloc[0], path.iloc[-1]):
        said = explorer.draw(a=at.a, step=1, prompt=prompt).caption
        assert ("ones rise" in said) == (at.rejected > 0)


def test_the_sliders_move_and_the_states_fit_a_page(world, sides):
    explorer = start_explorer(world, world.author, *sides, a=0.5, live=True)
    explorer.widgets["a"].value = 1.0
    explorer.widgets["step"].value = 1000
    assert explorer.last_error is None and torch.isfinite(sides[0]).all()
    text = json.dumps(explorer.states(), separators=(",", ":"))
    assert len(text.encode()) <= MOST / 2
