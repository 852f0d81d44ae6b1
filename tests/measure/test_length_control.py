"""Length, and gold at equal length."""

import pytest
import torch

from workbench.measure import length_control
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

WORLD = Reviews(2)
REF = WORLD.author


def test_tokens_count_the_end_but_not_after_the_longest():
    size = length_control.tokens(WORLD)
    assert [int(size[WORLD.n_words == n][0]) for n in (0, 1, 2)] == [1, 2, 2]


def test_the_reference_has_its_own_length_and_gold_under_control():
    row = length_control.facts(REF, WORLD, REF).iloc[0]
    gold = solutions.expectation(REF, WORLD.gold.double()).mean().item()
    assert row.controlled == pytest.approx(gold) and row.gold == pytest.approx(gold)
    assert row.kl == pytest.approx(0, abs=1e-12)


def test_a_price_on_tokens_moves_gold_but_not_controlled_gold():
    size = length_control.tokens(WORLD)
    tilted = (REF + 1.5 * size).log_softmax(-1)
    track = length_control.Tracker(WORLD, REF)
    old, new = (track(one).iloc[0] for one in (REF, tilted))
    assert new.tokens > old.tokens + 0.01
    assert new.controlled == pytest.approx(old.controlled)
    assert abs(new.gold - old.gold) > 1e-3


def test_better_words_of_the_same_length_are_seen():
    size = length_control.tokens(WORLD)
    tilted = REF + WORLD.gold
    for n in (1, 2):
        mask = size == n
        share = REF[:, mask].logsumexp(-1, True) - tilted[:, mask].logsumexp(-1, True)
        tilted[:, mask] += share
    row, old = (length_control.facts(p, WORLD, REF).iloc[0] for p in (tilted, REF))
    assert row.tokens == pytest.approx(old.tokens)
    assert row.controlled > old.controlled + 0.1
    assert row.gold == pytest.approx(row.controlled)
    assert torch.isfinite(torch.tensor(row.fluency))
