"""The baseline explorer: arrows, mean and variance against sums written out."""

import itertools
import json

import pytest
import torch

from workbench.views.instruments import baseline_explorer
from workbench.views.instruments.baseline_explorer import (
    BASELINES,
    NUMBER,
    OTHERS,
    WAYS,
    group_arrows,
    parabola,
    plane,
)
from workbench.views.instruments.states import MOST

PI = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
R = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
MEAN, GRPO = list(WAYS)[2:]


def test_the_plane_keeps_lengths_and_angles():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    rows -= rows.mean(-1, keepdim=True)
    assert torch.allclose(plane(rows) @ plane(rows).T, rows @ rows.T)
    up = plane(torch.tensor([2.0, -1.0, -1.0]))
    assert up[0] == 0 and up[1] > 0  # the first response lies on top


@pytest.mark.parametrize("b", [-1.0, 0.0, 2.5])
def test_mean_and_variance_are_those_of_single_responses(b):
    """A number as baseline makes the three gradients of a group independent."""
    _, mean, noise = group_arrows(PI, R, NUMBER, b)
    one = [(R[y] - b) * (torch.eye(3).double()[y] - PI) for y in range(3)]
    by_hand = sum(PI[y] * one[y] for y in range(3))
    assert torch.allclose(mean, by_hand)
    assert torch.allclose(mean, PI * (R - PI @ R))  # the exact gradient of E[R]
    alone = sum(PI[y] * ((one[y] - by_hand) ** 2).sum() for y in range(3))
    assert noise == pytest.approx(float(alone) / 3)


def test_the_parabola_goes_through_every_b():
    curve = parabola(PI, R)
    for b in BASELINES[::10]:
        noise = group_arrows(PI, R, NUMBER, b)[2]
        assert noise == pytest.approx(curve[0] * b * b + curve[1] * b + curve[2])
    length = ((torch.eye(3).double() - PI) ** 2).sum(-1)
    quietest = (PI * length) @ R / (PI @ length)  # E[|∇log π|² R] / E[|∇log π|²]
    assert -curve[1] / (2 * curve[0]) == pytest.approx(float(quietest))


def test_only_leave_one_out_keeps_the_mean_among_those_of_a_group():
    true = PI * (R - PI @ R)
    assert torch.allclose(group_arrows(PI, R, OTHERS, 0.0)[1], true)
    # a mean that holds the response itself takes a third of it away
    assert torch.allclose(group_arrows(PI, R, MEAN, 0.0)[1], true * 2 / 3)
    assert not torch.allclose(group_arrows(PI, R, GRPO, 0.0)[1], true)


@pytest.mark.parametrize("way", WAYS)
def test_ten_groups_with_their_chances_and_their_mean(way):
    groups, mean, _ = group_arrows(PI, R, way, 0.5)
    spelled = itertools.combinations_with_replacement("ABC", 3)
    assert groups["group"].tolist() == [" ".join(group) for group in spelled]
    chance = groups.set_index("group")["probability"]
    assert chance["A B C"] == pytest.approx(6 * 0.5 * 0.3 * 0.2)
    assert chance["C C C"] == pytest.approx(0.2**3)
    spots = torch.tensor(groups[["x", "y"]].to_numpy())
    middle = torch.tensor(chance.to_numpy()) @ spots
    assert torch.allclose(middle, plane(mean))


def test_the_caption_says_both_numbers_and_whether_the_mean_moved():
    explorer = baseline_explorer(PI.tolist(), R.tolist(), live=False)
    still = explorer.draw(way=NUMBER, b=-1.0).caption
    assert "variance is 0.88" in still and "0.35 long, the same" in still
    moved = explorer.draw(way=GRPO, b=0.0).caption
    assert "not the same as that of R itself (0.35)" in moved


def test_the_slider_moves_and_a_book_can_ship_it():
    explorer = baseline_explorer(PI.tolist(), R.tolist(), live=True)
    explorer.widgets["b"].value = 1.5
    explorer.widgets["way"].value = OTHERS
    assert explorer.last_error is None
    found = json.dumps(explorer.states(), separators=(",", ":"))
    assert len(found) < MOST / 2
