"""Descent of an expected loss ends at the exact optimum, and thins to a frame."""

import torch

from workbench.measure import expected_descent
from workbench.methods.direct.lists import copg
from workbench.worlds import solutions

REWARDS = torch.tensor([2.5, 2.0, 1.0], dtype=torch.float64)
FLAT = torch.zeros(3, dtype=torch.float64).log_softmax(-1)


def test_every_pair_in_order():
    batch = expected_descent.every_pair(FLAT, FLAT, REWARDS)
    assert batch.scores.shape == (9, 2)
    assert batch.scores[1].tolist() == [2.5, 2.0]
    assert batch.scores[3].tolist() == [2.0, 2.5]


def test_copg_ends_at_the_optimum_on_lopsided_pairs():
    shares = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64)
    chance = shares[:, None] * shares
    path = expected_descent.descend(
        copg, copg.Config(0.5), FLAT, REWARDS, chance, steps=2000
    )
    assert len(path) == 2001
    torch.testing.assert_close(path[0], FLAT)
    optimum = solutions.optimal_policy(FLAT, REWARDS, 0.5)
    torch.testing.assert_close(path[-1], optimum)


def test_a_path_becomes_a_frame_with_both_ends():
    path = torch.stack([FLAT] * 50)
    frame = expected_descent.as_curves({"a": path}, ["x", "y", "z"], points=10)
    assert list(frame.columns) == ["x", "y", "z", "curve", "step"]
    assert len(frame) <= 10
    assert frame.step.min() == 0 and frame.step.max() == 49
