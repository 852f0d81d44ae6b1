"""Streams of random numbers."""

import random

import numpy as np
import torch

from workbench.core.seeds import generator, seed_everything


def draw(*key):
    return torch.rand(1000, generator=generator(*key), dtype=torch.float64)


def test_the_same_seed_and_stream_give_the_same_numbers():
    assert torch.equal(draw(0, "batch", 3), draw(0, "batch", 3))


def test_another_seed_stream_or_counter_gives_other_numbers():
    keys = [(0,), (1,), (0, "batch"), (0, "batch", 1), (0, "batch", 2), (0, "batch2")]
    drawn = [draw(*key) for key in keys]
    for i, first in enumerate(drawn):
        for second in drawn[:i]:
            correlation = torch.corrcoef(torch.stack([first, second]))[0, 1]
            assert correlation.abs() < 0.15  # 4.7 standard errors of 1,000 draws


def test_a_stream_does_not_depend_on_the_global_generator():
    torch.manual_seed(1)
    first = draw(0, "a")
    torch.rand(7)
    assert torch.equal(first, draw(0, "a"))


def test_a_seed_read_from_a_table_is_the_same_seed():
    assert torch.equal(draw(np.int64(3), "batch", np.int64(2)), draw(3, "batch", 2))


def test_seeding_everything_fixes_python_and_torch():
    def numbers():
        seed_everything(5)
        return random.random(), torch.rand(()).item()

    try:
        assert numbers() == numbers()
    finally:
        torch.use_deterministic_algorithms(False)
