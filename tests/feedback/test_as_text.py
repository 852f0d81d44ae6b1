"""Pairs in words."""

import pytest
import torch

from workbench.feedback.annotator import Annotator
from workbench.feedback.as_text import as_text
from workbench.feedback.kinds.pairs import Pairs
from workbench.worlds.reviews import Reviews

WORLD = Reviews(2)


def pair() -> Pairs:
    first, second = WORLD.index("good"), WORLD.index("very bad")
    one, two = (WORLD.tokens(torch.tensor([1]), torch.tensor([y])) for y in
                (first, second))  # fmt: skip
    return Pairs(one, two, torch.ones(1, dtype=torch.float64))


def test_texts_stand_beside_their_prompt():
    told = as_text(pair(), WORLD)
    assert list(told.columns) == ["prompt", "chosen", "rejected"]
    assert told.iloc[0].tolist() == [WORLD.prompts[1], "good", "very bad"]


@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_the_probability_is_the_annotators(bias):
    gap = WORLD.gold[1, WORLD.index("good")] - WORLD.gold[1, WORLD.index("very bad")]
    told = as_text(pair(), WORLD, Annotator(length_bias=bias))
    expected = (gap - bias).sigmoid().item()  # one word against two
    assert told["p(this label)"].item() == pytest.approx(expected)
