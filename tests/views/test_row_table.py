"""The table of which one row is pressed, and the pairs of the microscope in it."""

import pytest
import torch

from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.views.instruments import token_microscope
from workbench.views.instruments.controls import Control
from workbench.views.instruments.row_table import MOST, RowTable
from workbench.views.instruments.token_microscope import pair_rows
from workbench.views.instruments.token_state import token_frame
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

ROWS = {4: ("film", "very good"), 7: ("music", "dull"), 9: ("plot", "<b>fun</b>")}
BETA = 0.7


@pytest.fixture
def control():
    return RowTable("Press a review", ("prompt", "review"), ROWS, 7)


def pressed(widget):
    """What stands on the pressed buttons."""
    buttons = widget.children[1].children
    return [b.description for b in buttons if b.button_style == "info"]


def test_columns_line_up(control):
    assert isinstance(control, Control)
    lines = control.lines()
    assert list(lines) == [None, 4, 7, 9]
    assert {line.index(word) for line, word in (
        (lines[None], "review"), (lines[4], "very"), (lines[7], "dull"),
    )} == {8}  # fmt: skip
    assert len({len(line) for line in lines.values()}) == 1
    assert not any(" " in line for line in lines.values())  # all of them unbreakable


def test_a_click_presses_one_row(control):
    widget = control.widget()
    assert widget.value == 7 and pressed(widget) == ["▸" + control.lines()[7]]
    seen = []
    widget.observe(lambda change: seen.append(change.new), names="value")
    widget.children[1].children[0].click()
    assert seen == [4] and pressed(widget) == ["▸" + control.lines()[4]]
    widget.value = 9  # as a reset does
    assert pressed(widget) == ["▸" + control.lines()[9]]


def test_a_book_has_at_most_thirty_rows_and_the_start(control):
    assert control.grid() == [4, 7, 9]
    assert control.told(4) == "film · very good"
    many = RowTable("n", ("n",), {n: (str(n),) for n in range(100)}, 99)
    assert len(many.grid()) <= MOST + 1 and 99 in many.grid()
    assert many.grid() == sorted(many.grid())


def test_what_is_no_table_is_refused():
    with pytest.raises(ValueError, match="no row 1"):
        RowTable("n", ("prompt", "review"), ROWS, 1)
    with pytest.raises(ValueError, match="other than its heads"):
        RowTable("n", ("prompt",), ROWS, 4)


def test_the_rows_of_the_microscope_are_the_pairs():
    """Words and margins by the world's own tables, not by the frame's tokens."""
    world, draws = Reviews(3), torch.Generator().manual_seed(1)
    pairs = sample_pairs(world, world.author, 12, Annotator(), draws)
    after = solutions.optimal_policy(world.author, world.gold, 2 * BETA)
    tables = (world.author, world.author, after)
    frame = token_frame(world, pairs, *tables, reward=world.gold, beta=BETA)
    rows = pair_rows(frame)
    assert list(rows) == list(range(12))
    for number, (said, prompt, chosen, rejected, margin) in rows.items():
        assert said == str(number)
        at = int(pairs.chosen.prompt[number])
        first, second = (
            int(x.response[number]) for x in (pairs.chosen, pairs.rejected)
        )
        assert prompt == world.prompts[at]
        assert (chosen, rejected) == (world.text(first), world.text(second))
        ratios = BETA * (after - world.author)[at]
        assert float(margin) == pytest.approx(
            (ratios[first] - ratios[second]).item(), abs=0.006
        )
    microscope = token_microscope(frame, live=True)
    told = microscope.status.value
    microscope.widgets["pair"].children[1].children[5].click()
    assert microscope.values == {"pair": 5} and microscope.status.value != told
    assert "In pair 5" in microscope.status.value and microscope.last_error is None
    microscope.reset()
    assert microscope.status.value == told
