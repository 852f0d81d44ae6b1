"""The stop explorer: two runs by hand, stopped at each of their steps."""

import json

import pandas as pd
import pytest

from workbench.views.instruments import stop_explorer
from workbench.views.instruments.states import MOST
from workbench.views.instruments.stop_explorer import means
from workbench.views.layers import Line, Points, VLine

NAN = float("nan")
ROWS = [  # seed, step, kl, gold, loss
    (0, 0, 0.0, 0.0, NAN),
    (1, 0, 0.0, 0.0, NAN),
    (0, 10, 1.0, 1.0, 0.6),
    (1, 10, 4.0, 0.4, 0.5),
    (0, 20, 2.25, 0.5, 0.4),
    (1, 20, 9.0, -0.3, 0.1),
]


@pytest.fixture(scope="module")
def curves():
    # in another order than that of the steps
    frame = pd.DataFrame(ROWS, columns=["seed", "step", "kl", "gold", "loss"])
    return frame.sample(frac=1.0, random_state=0)


@pytest.fixture(scope="module")
def explorer(curves):
    best = pd.DataFrame({"kl": [0.0, 4.0], "gold": [0.0, 2.0]})
    return stop_explorer(curves, best, live=False)


def test_means_are_those_of_both_runs(curves):
    assert means(curves)["gold"].tolist() == pytest.approx([0.0, 0.7, 0.1])
    assert means(curves)["loss"].tolist()[1:] == pytest.approx([0.55, 0.25])


def test_it_starts_where_gold_is_highest_and_says_what_stopping_gives(explorer):
    assert explorer.defaults == {"step": 10}
    assert explorer.start.caption == (
        "Stopped at step 10 the runs have a gold of 0.70 on average, 0.60 more than "
        "at step 20; the most, 0.70, is at step 10. The mean loss goes from 0.55 here "
        "to 0.25 at step 20."
    )


def test_before_the_first_step_there_is_no_loss(explorer):
    told = explorer.draw(step=0).caption
    assert "0.10 less than at step 20" in told and "loss" not in told
    assert "than at" not in explorer.draw(step=20).caption


def test_the_dots_stand_on_the_runs_at_this_step(explorer):
    drift, gold, loss = explorer.draw(step=20).panels.charts
    (dots,) = (layer for layer in drift.layers if isinstance(layer, Points))
    assert sorted(zip(dots.x, dots.y, strict=True)) == [(1.5, 0.5), (3.0, -0.3)]
    runs = [la for la in drift.layers if isinstance(la, Line) and la.faint]
    assert [run.x for run in runs] == [[0.0, 1.0, 1.5], [0.0, 2.0, 3.0]]
    for chart in (gold, loss):
        assert [la.x for la in chart.layers if isinstance(la, VLine)] == [20]
    [line] = (la for la in loss.layers if isinstance(la, Line))
    assert line.x == [10, 20]  # step 0 has no loss


def test_the_runs_are_drawn_as_far_as_they_have_come(explorer):
    drift = explorer.draw(step=10).panels.charts[0]
    runs = [la for la in drift.layers if isinstance(la, Line) and la.faint]
    assert [run.x for run in runs] == [[0.0, 1.0], [0.0, 2.0]]
    assert drift.x_range == explorer.draw(step=20).panels.charts[0].x_range


def test_it_plays_and_a_book_can_ship_it(curves):
    explorer = stop_explorer(curves, live=True)
    explorer.widgets["step"].value = 20
    assert explorer.last_error is None
    assert explorer.controls["step"].play
    found = json.dumps(explorer.states(), separators=(",", ":"))
    assert len(found) < MOST / 2
