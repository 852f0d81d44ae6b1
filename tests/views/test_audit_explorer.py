"""The audit explorer: what counts, its share by hand, and axes that stand still."""

import json

import pandas as pd
import pytest

from workbench.views.instruments import audit_explorer
from workbench.views.instruments.audit_explorer import accuracy, audit_figure
from workbench.views.instruments.states import MOST
from workbench.views.layers import Points

NAMES = ["prompt", "chosen", "rejected", "chosen_tokens", "rejected_tokens"]


def frame() -> pd.DataFrame:
    """Right on three pairs of two prompts, wrong on one; a tie; another file."""
    known = [
        ("a", 1.0, 0.0, 5, 5),
        ("a", 0.5, 0.0, 6, 5),
        ("b", 0.2, 0.1, 9, 1),
        ("c", -1.0, 0.0, 5, 5),
    ]
    rows = pd.DataFrame(known, columns=NAMES).assign(checkpoint="one", pairs="known")
    new = pd.DataFrame([("d", 0.3, 0.3, 2, 2)], columns=NAMES)
    both = pd.concat([rows, new.assign(checkpoint="one", pairs="new")])
    return both.assign(margin=both["chosen"] - both["rejected"])


def points(figure) -> dict[str, Points]:
    return {la.label: la for la in figure.panels.charts[1].layers
            if isinstance(la, Points)}  # fmt: skip


def test_the_share_and_its_interval_by_hand():
    """3 of 4, prompts a, b, c: deviations add up to ½, ¼ and −¾.

    Their squares add up to 7/8; times 3/2, the root, over 4 is 0.286411; Student's t
    with 2 degrees of freedom is 4.302653.
    """
    mean, low, high = accuracy(frame()[:4])
    assert mean == 0.75 and high == 1.0 and low == 0.0  # 0.75 ± 1.23, cut
    eight = pd.concat([frame()[:4].assign(prompt=list("abcd")),
                       frame()[:4].assign(prompt=list("efgh"))])  # fmt: skip
    # eight prompts: s = 0.46291, standard error 0.163663, t(7) = 2.364624
    mean, low, _ = accuracy(eight)
    assert (mean, low) == pytest.approx((0.75, 0.75 - 2.364624 * 0.163663), abs=1e-5)


def test_a_tie_is_half_and_one_prompt_has_no_interval():
    mean, low, high = accuracy(frame()[4:])
    assert mean == 0.5 and low != low and high != high
    assert accuracy(frame()[:0])[0] != accuracy(frame()[:0])[0]


def test_pairs_of_other_lengths_are_pale_and_do_not_count():
    shown = audit_figure(frame(), "one", "known", 1)
    assert points(shown)["counted"].y == [1.0, 0.5, -1.0]
    assert points(shown)["other"].x == [8] and points(shown)["other"].y == [0.1]
    assert "3 of 4 pairs count; 0.67" in shown.caption
    assert "mean margin is +0.17" in shown.caption
    assert (
        "2 of 4 pairs count; 0.50" in audit_figure(frame(), "one", "known", 0).caption
    )


def test_axes_stand_still_from_state_to_state():
    states = [
        audit_figure(frame(), "one", "known", 0),
        audit_figure(frame(), "one", "new", 32),
    ]
    first, other = ([(c.x_range, c.y_range) for c in s.panels.charts] for s in states)
    assert first == other
    low, high = first[1][0]
    assert low < 0 and high > 8


def test_rows_that_are_not_there_are_refused():
    with pytest.raises(KeyError, match="no pairs 'new' of 'two'"):
        audit_figure(frame(), "two", "new", 1)
    with pytest.raises(KeyError, match="missing column margin"):
        audit_figure(frame().drop(columns="margin"), "one", "new", 1)


def test_its_states_are_every_choice_and_fit_a_page():
    states = audit_explorer(frame(), live=False).states()
    assert len(states["states"]) == 1 * 2 * 3
    assert len(json.dumps(states)) < MOST
