"""Known exactly: rewards as decimals, ties as ties, and no ∞ − ∞."""

import math

import pytest
import torch

from workbench.core.seeds import generator
from workbench.methods.decoding import best_of_n
from workbench.worlds import people, solutions
from workbench.worlds.reviews import Reviews
from workbench.worlds.stories import Stories, estimate
from workbench.worlds.tree import PrefixTree

WORLD = Reviews(4)
F64 = torch.float64


def film(text: str) -> float:
    return WORLD.gold[0, WORLD.index(text)].item()


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("not good", -0.6),
        ("not bad", 0.6),
        ("good good", 0.6),  # 1 + 0.4 and a missing conjunction
        ("very good", 1.5),
        ("not fun", -0.48),
        ("not very dull", 0.72),
        ("good and not good", 0.76),  # 1 − 0.6 · 0.4
    ],
)
def test_gold_is_the_decimal_that_the_rules_give(text, want):
    """Not the nearest number of float32, and not one bit off."""
    assert film(text) == want


def test_rewards_that_are_equal_by_the_rules_are_equal_numbers():
    """The film has 385 levels of gold among 4,681 reviews of up to four words."""
    tables = (WORLD.gold, WORLD.attributes["sentiment"], *people.rewards(WORLD))
    for table in tables:
        assert table.dtype == F64
        assert torch.equal(table, table.round(decimals=9))
    assert len(WORLD.gold[0].unique()) == 385


def test_a_tie_is_an_even_draw_for_best_of_n():
    """Two responses of equal gold keep their odds under π_ref, whatever n is."""
    ref = WORLD.author
    best = best_of_n.log_distribution(ref, WORLD.gold, 64)
    one, two = WORLD.index("not bad"), WORLD.index("good good")
    odds = (ref[0, one] - ref[0, two]).item()
    assert (best[0, one] - best[0, two]).item() == pytest.approx(odds, abs=1e-9)


def test_a_turned_mood_counts_minus_six_tenths_in_float64():
    """The mood stands in the second third of a comedy, whose arc is ½ there."""
    world = Stories()
    told = world.tokens(
        torch.tensor([world.prompts.index("comedy ben")]), ["ben was not happy ."]
    )
    turned = world.attributes(told)["sentiment"].item()
    assert turned == pytest.approx(math.tanh(-0.6) / 2, abs=1e-15)


def test_chi2_of_two_policies_that_both_leave_a_response_out():
    """(½, ½, 0) against (¼, ¾, 0): ¼/¼ + ¼/¾ − 1 = 1/3; against itself 0."""
    one = torch.tensor([0.5, 0.5, 0.0], dtype=F64).log()
    two = torch.tensor([0.25, 0.75, 0.0], dtype=F64).log()
    assert solutions.chi2(one, one).item() == pytest.approx(0, abs=1e-15)
    assert solutions.chi2(one, two).item() == pytest.approx(1 / 3)
    assert solutions.chi2(two.flip(-1), one).item() == math.inf


def test_a_prefix_that_is_never_reached_has_the_uniform_distribution_exactly():
    """Eight words and the end: log(1/9) to the last digit of float64."""
    tree = PrefixTree(8, 2)
    logps = torch.full((tree.n_responses,), -torch.inf, dtype=F64)
    logps[0] = 0.0  # silence is certain
    below = tree.conditionals(logps)[1:]
    assert (below + math.log(9)).abs().max() < 1e-15


def test_words_after_the_end_do_not_count():
    """The response is what the mask covers: "good", its end, and a stray word."""
    world = Reviews(3)
    good = world.tokens(torch.tensor([0]), torch.tensor([world.index("good")]))
    ids = good.ids.clone()
    ids[0, -1] = world.action_ids[1]
    assert world.response_index(ids, good.mask).tolist() == [world.index("good")]


def test_the_last_response_is_drawn_as_often_as_it_should_be():
    """It has a quarter of the mass, and then all of it."""
    world, n = Reviews(1), 4000
    for chance in (0.25, 1.0):
        table = torch.zeros(world.n_prompts, world.n_responses, dtype=F64)
        table[:, 3], table[:, -1] = 1 - chance, chance
        drawn = world.draw(table.log(), n, generator(0)).response
        share = (drawn == world.n_responses - 1).double().mean().item()
        assert abs(share - chance) <= 4 * (chance * (1 - chance) / n) ** 0.5


def test_the_standard_error_of_a_mean_by_hand():
    """1, 2, 3, 4, 5: variance 2.5, so √(2.5/5) = 0.7071."""
    assert estimate([1.0, 2.0, 3.0, 4.0, 5.0]).stderr == pytest.approx(math.sqrt(0.5))
