"""The gold reward, word by word, on reviews whose sum anybody can do."""

import pytest
import torch

from workbench.worlds import gold
from workbench.worlds.reviews import Reviews

WORLD = Reviews(4)

# (prompt, review, sentiment, errors), with the constants of worlds/gold.py:
# negation −0.6, intensity 1.5, fade 0.4, turn 1.3.
BY_HAND = [
    ("film", "good", 1.0, 0),
    ("film", "very good", 1.5, 0),
    ("film", "not good", -0.6, 0),
    ("film", "not very good", -0.6 * 1.5, 0),
    ("film", "very very good", 1.5, 1),  # said twice, counts once
    ("film", "good and good", 1.0 + 0.4, 0),
    ("film", "bad but good", -1.0 + 1.3, 0),
    ("film", "not good and fun", -0.6 + 0.8, 0),  # "and" ends the negation
    ("film", "good fun", 1.8, 1),
    ("film", "good very fun", 1.0 + 1.2, 1),
    ("film", "very", 0.0, 1),
    ("film", "and good", 1.0, 1),
    ("film", "good and", 1.0, 1),
    ("film", "good and but fun", 1.0 + 1.3 * 0.8, 2),
    ("plot", "fun", 0.3, 0),
    ("plot", "not dull", 0.72, 0),
    ("music", "very fun", 1.8, 0),
]


@pytest.mark.parametrize(("prompt", "review", "sentiment", "errors"), BY_HAND)
def test_reviews_have_the_gold_reward_worked_out_by_hand(
    prompt, review, sentiment, errors
):
    p, i = WORLD.prompts.index(prompt), WORLD.index(review)
    assert WORLD.attributes["sentiment"][p, i].item() == pytest.approx(sentiment)
    assert WORLD.gold[p, i].item() == pytest.approx(sentiment - 0.8 * errors)


def test_silence_costs_one_reward_unit():
    assert WORLD.gold[:, WORLD.index("(silence)")].tolist() == [-1.0] * 4


def test_brevity_counts_words_and_colour_counts_distinct_ones():
    i = WORLD.index("good and good")
    assert WORLD.attributes["brevity"][0, i].item() == pytest.approx(-0.6)
    assert WORLD.attributes["colour"][0, i].item() == pytest.approx(0.2)


def test_the_best_review_differs_between_prompts():
    best = {WORLD.text(int(i)) for i in WORLD.gold.argmax(1)}
    assert len(best) >= 2


def test_a_reward_does_not_depend_on_the_other_reviews_scored_with_it():
    words = WORLD.tree.words(3)
    alone = torch.stack([gold.sentiment(words[i : i + 1], "film")[0] for i in (7, 99)])
    torch.testing.assert_close(alone, gold.sentiment(words, "film")[[7, 99]])
