"""Annotators: probabilities by hand, and draws that follow them."""

import math

import pytest
import torch

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator

A = torch.tensor([2.0, 0.0, 1.0], dtype=torch.float64)
B = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_bradley_terry_by_hand():
    expected = [sigmoid(2.0), sigmoid(-2.0), 0.5]
    assert Annotator(temperature=0.5).probability(A, B).tolist() == pytest.approx(
        expected
    )


def test_flips_mix_the_label_with_its_opposite():
    """p = (1 − f) σ + f (1 − σ); at f = ½ nothing is said."""
    p = Annotator(flip=0.25).probability(A, B)
    assert p[0].item() == pytest.approx(0.75 * sigmoid(1) + 0.25 * sigmoid(-1))
    assert Annotator(flip=0.5).probability(A, B).tolist() == pytest.approx([0.5] * 3)


def test_length_bias_adds_reward_for_every_extra_token():
    longer, shorter = torch.tensor([5, 5, 5]), torch.tensor([3, 3, 3])
    p = Annotator(length_bias=0.5).probability(A, B, longer, shorter)
    assert p.tolist() == pytest.approx([sigmoid(2), sigmoid(0), sigmoid(1)])
    with pytest.raises(ValueError, match="both lengths"):
        Annotator(length_bias=0.5).probability(A, B)


def test_a_deterministic_annotator_is_sure_and_tosses_a_coin_for_ties():
    p = Annotator(deterministic=True).probability(A, B)
    assert p.tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("annotator", [Annotator(), Annotator(flip=0.2)])
def test_the_two_orders_of_a_pair_add_up_to_one(annotator):
    both = annotator.probability(A, B) + annotator.probability(B, A)
    torch.testing.assert_close(both, torch.ones(3, dtype=torch.float64))


def test_drawn_labels_follow_the_probability():
    n, annotator = 40_000, Annotator(flip=0.1)
    drawn = annotator.prefers_first(A[:1].expand(n), B[:1].expand(n), generator(0))
    p = annotator.probability(A[:1], B[:1]).item()
    assert abs(drawn.double().mean().item() - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_thumbs_compare_a_response_with_the_bar():
    p = Annotator().thumb_probability(A, bar=1.0)
    assert p.tolist() == pytest.approx([sigmoid(1), sigmoid(-1), 0.5])
    drawn = Annotator(flip=0.3).thumbs(A[:1].expand(20_000), generator(1), bar=1.0)
    expected = 0.7 * sigmoid(1) + 0.3 * sigmoid(-1)
    assert drawn.double().mean().item() == pytest.approx(expected, abs=0.015)


def test_ratings_are_centred_on_the_middle_level():
    sure = Annotator(deterministic=True)
    rewards = torch.tensor([-9.0, -1.0, 0.0, 0.9, 9.0], dtype=torch.float64)
    assert sure.scores(rewards, generator(0)).tolist() == [1, 2, 3, 4, 5]


def test_the_first_place_of_a_ranking_is_a_softmax():
    """Plackett–Luce: p(item first) = softmax(r/T)."""
    n, reward = 40_000, torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
    order = Annotator(temperature=2.0).rank(reward.expand(n, 3), generator(0))
    seen = torch.bincount(order[:, 0], minlength=3) / n
    torch.testing.assert_close(
        seen.double(), (reward / 2).softmax(0), atol=0.01, rtol=0
    )


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="temperature"):
        Annotator(temperature=0.0)
    with pytest.raises(ValueError, match="flip"):
        Annotator(flip=0.6)
