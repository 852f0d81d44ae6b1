"""The fault switchboard: its readings are those that lesson 02 finds by hand."""

import json

import pytest
import torch

from workbench.methods.direct.links import dpo
from workbench.views.instruments import fault_switchboard
from workbench.views.instruments.fault_state import (
    ELSEWHERE,
    fault_readings,
    trained_logps,
)
from workbench.views.instruments.fault_switchboard import LOSSES
from workbench.views.instruments.states import MOST
from workbench.views.layers import Bars, Points
from workbench.worlds import solutions
from workbench.worlds.probes import PROBES, broken_part

LN8 = 2.0794415416798357
# probe by probe: where each wrong loss has no slope, in reward units. Every answer has
# two tokens; without its end "yes yes" keeps one, and "yes" and "no" keep one each.
BY_HAND = {
    "nothing": [1, 1, 1, 0, 1],
    "1 swapped pair": [-1, -1, -1, 0, -1],
    "2 mean over tokens": [2, 2, 2, 0, 2],
    "3 prompt or padding counted": [1, 1, 1, 0, 1],
    "4 gradient through the reference": [1, 1, 1, 0, 1],
    "5 no beta": [0.5, 0.5, 0.5, 0, 0.5],
    "6 no reference": [1, 1, 1, -0.5 * LN8, 1],
}


def test_every_known_mistake_stands_on_the_board():
    assert list(LOSSES) == ["nothing", *dpo.mistakes]
    assert set(BY_HAND) == {*LOSSES} - {"7 end of sequence left out"}


@pytest.mark.parametrize("fault", BY_HAND)
def test_a_wrong_loss_rests_where_its_slope_is_zero(fault):
    readings = fault_readings(LOSSES[fault])["reading"].tolist()
    assert readings == pytest.approx(BY_HAND[fault], abs=0.01)


def test_without_the_end_nobody_tells_yes_from_yes_yes():
    """Both begin with "yes", and the tokens that differ are masked out."""
    rows = fault_readings(dpo.mistakes["7 end of sequence left out"])
    assert rows["reading"][2] == pytest.approx(0, abs=1e-6)
    assert broken_part(rows) == "the last token"


def test_each_fault_elsewhere_is_named_by_its_probe():
    found = {how: broken_part(fault_readings(dpo.loss, how)) for how in ELSEWHERE}
    assert list(found.values()) == [
        "nothing",
        "the gradient",
        "the prompt",
        "the scale",
    ]


def test_step_size_zero_leaves_the_even_start():
    """An even policy reads β(0 − log 8) where the reference has odds of 8."""
    readings = fault_readings(dpo.loss, "step size 0")["reading"].tolist()
    assert readings == pytest.approx([0, 0, 0, -0.5 * LN8, 0])


def test_a_hidden_prompt_gives_both_prompts_one_answer():
    logps = trained_logps(dpo.loss, "prompt hidden")
    assert torch.equal(logps[1], logps[2])
    seen = trained_logps(dpo.loss, "nothing")
    assert (seen[1] - seen[2]).abs().max() > 0.5
    assert torch.allclose(logps.exp().sum(-1), torch.ones(6, dtype=logps.dtype))


def test_the_right_column_is_the_reading_of_the_optimum():
    best = [
        probe.readings(
            solutions.optimal_policy(probe.ref_logps, probe.world.gold, probe.beta)
        )[0]
        for probe in PROBES
    ]
    assert fault_readings(dpo.loss)["right"].tolist() == pytest.approx(best)


def test_of_two_faults_at_once_the_ladder_names_one():
    """The first probe accuses the prompt; the mean over tokens shows at the last."""
    both = fault_readings(dpo.mistakes["2 mean over tokens"], "prompt hidden")
    assert broken_part(both) == "the prompt"
    assert both["passed"].tolist() == [True, False, True, True, False]


def test_the_picture_marks_what_reads_wrong():
    board = fault_switchboard(fault="2 mean over tokens", live=False)
    right, read = (la for la in board.start.panels.charts[0].layers if type(la) is Bars)
    assert [name[0] for name in read.names] == ["✓", "✓", "✓", "✓", "✗"]
    assert right.y == [1, 1, 1, 0, 1]
    (marks,) = (la for la in board.start.panels.charts[0].layers if type(la) is Points)
    assert list(marks.x) == [read.y[4]]
    assert "“a price”: 2.00 where 1.00 is right" in board.start.caption
    healthy = board.draw(fault="nothing", elsewhere="nothing")
    assert healthy.caption.startswith("No probe reads wrong")


def test_the_buttons_move_and_the_states_fit_a_page():
    board = fault_switchboard(live=True)
    board.widgets["fault"].value = "6 no reference"
    board.widgets["elsewhere"].value = "noise removed"
    assert board.last_error is None and "the reference" in board.status.value
    states = board.states()
    assert len(states["states"]) == len(LOSSES) * len(ELSEWHERE)
    text = json.dumps(states, separators=(",", ":"))
    assert len(text.encode()) <= MOST / 2
