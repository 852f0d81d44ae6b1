"""What a reader moves, as data: the values, the start, and the few of a book."""

import pytest

from workbench.views.instruments.controls import (
    Choice,
    Slider,
    Switch,
    powers,
    shown,
)


def test_the_book_steps_through_the_coarse_values_and_the_start():
    slider = Slider("n", range(10), 3, coarse=(0, 5, 9))
    assert slider.grid() == [0, 3, 5, 9]
    assert Slider("n", (2, 1), 1).grid() == [2, 1]


def test_a_start_that_cannot_be_chosen_is_refused():
    with pytest.raises(ValueError, match="“n” has no value 7"):
        Slider("n", range(5), 7)
    with pytest.raises(ValueError, match="no value 9"):
        Slider("n", range(5), 1, coarse=(0, 9))


def test_powers_are_round_numbers_and_hold_the_start():
    slider = powers("β", 0.3, low=0.1, high=10, each=2, coarse=1)
    assert slider.values == [0.1, 0.3, 0.32, 1.0, 3.2, 10.0]
    assert slider.grid() == [0.1, 0.3, 1.0, 10.0]


@pytest.mark.parametrize("play", [False, True])
def test_a_slider_of_the_screen_carries_the_values(play):
    widget = Slider("steps", (1, 2, 5, 10), 5, play=play).widget()
    assert widget.value == 5
    seen = []
    widget.observe(lambda change: seen.append(change.new), names="value")
    widget.value = 10
    assert seen == [10]
    if play:
        button, slider = widget.children
        assert slider.value == 10 and button.max == 3
        slider.index = 0
        assert widget.value == 1 and seen == [10, 1]


def test_a_slider_with_one_value_is_hidden_and_a_long_label_leaves_a_track():
    """22em hold a track beside "steps", and 16 characters need 15 + 9.6em."""
    alone = Slider("bars", [3], 3).widget()
    assert alone.value == 3 and alone.layout.display == "none"
    short, long = Slider("steps", (1, 2), 1), Slider("b (reward units)", (1, 2), 1)
    assert short.widget().layout.display is None
    assert short.widget().layout.width == "22em"
    assert long.widget().layout.width == "25em"


def test_choice_and_switch_go_through_all_that_can_be_chosen():
    choice, switch = Choice("world", ("film", "plot"), "plot"), Switch("wrong proxy")
    assert choice.grid() == ["film", "plot"] and switch.grid() == [False, True]
    assert choice.widget().value == "plot" and switch.widget().value is False


def test_numbers_are_shown_with_three_digits_and_words_as_they_are():
    assert [shown(v) for v in (0.31622, 2, "film", 1e-5)] == [
        "0.316", "2", "film", "1e-05",
    ]  # fmt: skip
