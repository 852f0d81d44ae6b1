"""The mask viewer: what counts carries its reward, and the sentence adds it up."""

import json

import pandas as pd
import pytest

from workbench.views.instruments import mask_viewer
from workbench.views.instruments.mask_state import WIDE, mask_figure
from workbench.views.instruments.states import MOST
from workbench.views.layers import Heat


def frame() -> pd.DataFrame:
    """A chosen answer of three tokens, two of which count; a longer rejected one."""
    rows = []
    for way, counted in (("right", (1, 2)), ("wrong", (2,))):
        for side, words in (
            ("chosen", ("Q:", " yes", "↵")),
            ("rejected", "abcdefghijkl"),
        ):
            for position, word in enumerate(words):
                counts = position in counted
                value = 0.1 * position if counts else 0.0
                row = {"way": way, "pair": 0, "side": side, "position": position}
                row |= {"token": word, "counts": counts, "reward": value}
                rows.append(row | {"ref_logp": -2.0 * position if counts else 0.0})
    return pd.DataFrame(rows)


def heat(figure) -> Heat:
    (found,) = [la for la in figure.panels.charts[0].layers if isinstance(la, Heat)]
    return found


def test_a_token_that_counts_has_a_number_and_no_other_has():
    shown = heat(mask_figure(frame(), "right", 0, "chosen"))
    assert shown.text[0][:4] == ["Q:", "·yes\n+0.10", "↵\n+0.20", ""]
    assert shown.z[0][:4] == [0.0, 0.1, 0.2, None]


def test_every_state_has_as_many_lines_as_the_longest_needs():
    for side in ("chosen", "rejected"):
        shown = heat(mask_figure(frame(), "right", 0, side))
        assert [len(line) for line in shown.z] == [WIDE] * 2  # 12 tokens


def test_the_sentence_adds_up_and_takes_the_mean():
    """Rewards 0.1 and 0.2; log-probs −2 and −4 have the mean −3."""
    said = mask_figure(frame(), "right", 0, "chosen").caption
    assert "2 of 3 tokens count" in said
    assert "+0.30 reward units" in said and "-3.00 nats per token" in said
    assert "1 of 3" in mask_figure(frame(), "wrong", 0, "chosen").caption


def test_an_unknown_response_is_refused():
    with pytest.raises(KeyError, match="no chosen response of pair 7"):
        mask_figure(frame(), "right", 7, "chosen")


def test_its_states_are_every_choice_and_fit_a_page():
    viewer = mask_viewer(frame(), live=False)
    states = viewer.states()
    assert len(states["states"]) == 2 * 1 * 2
    assert len(json.dumps(states)) < MOST


def test_a_long_token_is_broken_and_a_blank_is_seen():
    made = frame().replace({"token": {" yes": " entertainment", "Q:": "<|im_start|>"}})
    shown = heat(mask_figure(made, "right", 0, "chosen"))
    assert shown.text[0][:2] == ["⟦im_s\ntart⟧", "·entert\nainment\n+0.10"]
