"""What was perhaps meant."""

import pytest

from workbench.core.suggest import suggest

KNOWN = ("dpo", "ipo", "simpo", "squared_hinge", "best_of_n", "offline")


@pytest.mark.parametrize("word", ["DPO", "dpo ", "Dpo", "dp"])
def test_the_nearest_name_comes_first(word):
    assert suggest(word, KNOWN).startswith("; did you mean dpo")


@pytest.mark.parametrize("word", ["squared-hinge", "Squared Hinge", "sqared_hinge"])
def test_dashes_spaces_and_slips_do_not_matter(word):
    assert suggest(word, KNOWN) == "; did you mean squared_hinge?"


@pytest.mark.parametrize("word", ["squ", "best", "off"])
def test_the_beginning_of_a_name_is_near_to_it(word):
    name = next(name for name in KNOWN if name.startswith(word))
    assert suggest(word, KNOWN) == f"; did you mean {name}?"


@pytest.mark.parametrize("word", ["", "q", "zebra", "π", "%s{}"])
def test_nothing_is_said_if_nothing_is_near(word):
    assert suggest(word, KNOWN) == ""


def test_at_most_three_names_are_told():
    told = suggest("run", ["run1", "run2", "run3", "run4"])
    assert told.count("run") == 3
    assert told.endswith("?")


def test_a_generator_and_an_empty_list_will_do():
    assert suggest("dpoo", (name for name in KNOWN)).startswith("; did you mean dpo")
    assert suggest("dpo", []) == ""
