"""Pairs are held out by whole prompts, unless a prompt has too many of them."""

import pytest
import torch

from workbench.core.errors import MissingInput
from workbench.core.tokens import Tokens
from workbench.experiment.holdout import split
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.labels import Labels

OVERLAP = "some prompts are on both sides"


def parts(sizes: list[int]) -> tuple[list[str], list[str], list[str]]:
    """The prompts to train on and those held out, of groups of these sizes."""
    asked = [f"prompt {i}" for i, size in enumerate(sizes) for _ in range(size)]
    ids = torch.arange(len(asked))[:, None]
    held_out = torch.ones_like(ids, dtype=torch.bool)
    none = torch.zeros(len(asked), dtype=torch.long)
    rows = Tokens(ids, held_out, held_out, prompt=none, response=none)
    weight = torch.ones(len(asked), dtype=torch.float64)
    labels = Labels(Pairs(rows, rows, weight))
    kept, held_out, notes = split(labels, asked)
    train, out = kept.pairs, held_out.pairs
    kept = [part.chosen.ids.flatten().tolist() for part in (train, out)]
    assert sorted(kept[0] + kept[1]) == list(range(len(asked)))
    return *([asked[i] for i in rows] for rows in kept), notes


@pytest.mark.parametrize(
    "sizes",
    [
        [30, 1],
        [1, 30],
        [31],
        [2],
        [1, 1],
        [2, 1],
        [1, 2],
        [15, 15],
        [2, 2],
        [1, 1, 98],
        [98, 1, 1],
        [50, 50, 50],
        [500, 20],
        [1] * 3 + [200],
        [1] * 30,
        [1] * 300,
        [6] * 5,
        [3] * 40,
        [10_000],
        [1] * 10_000,
    ],
    ids=lambda sizes: f"{len(sizes)} prompts of {sizes[0]} to {sizes[-1]}",
)
def test_most_pairs_are_left_to_train_on_and_some_are_held_out(sizes):
    train, held_out, notes = parts(sizes)
    total, share = sum(sizes), max(1, min(200, round(0.1 * sum(sizes))))
    assert len(held_out) >= share / 2
    assert len(train) >= min(total / 2, 0.75 * total)
    assert notes[0] == f"{len(train)} to train, {len(held_out)} held out"
    overlap = bool(set(train) & set(held_out))
    assert overlap == any(OVERLAP in note for note in notes)
    if overlap:
        assert len(held_out) == share
    assert (len(held_out) < 20) == any("of the accuracy" in note for note in notes)
    assert (len(train) < 20) == any("few to learn from" in note for note in notes)


@pytest.mark.parametrize("sizes", [[1] * 30, [6] * 5, [3] * 40, [1, 2, 3] * 20])
def test_no_prompt_is_on_both_sides_where_none_dominates(sizes):
    train, held_out, _ = parts(sizes)
    assert not set(train) & set(held_out)


@pytest.mark.parametrize("sizes", [[30, 1], [1, 30], [31], [15, 15], [400, 1, 1]])
def test_pairs_are_split_and_that_is_said_where_a_prompt_dominates(sizes):
    _, held_out, notes = parts(sizes)
    assert len(held_out) == round(0.1 * sum(sizes))
    assert any("on both sides" in note for note in notes) or len(set(held_out)) == 1


def test_the_same_pairs_are_held_out_every_time():
    assert parts([3] * 40) == parts([3] * 40)


def test_one_pair_cannot_be_split():
    with pytest.raises(MissingInput, match="nothing to hold out"):
        parts([1])
