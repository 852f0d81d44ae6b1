"""Several lists side by side: each is a distribution of its own."""

import math

import torch
from torch.testing import assert_close

from workbench.core.softmax_targets import cross_entropy, log_targets, targets

F64 = torch.float64


def test_every_list_has_targets_of_its_own():
    """Scores log(1, 3, 4) and 5 + log(2, 2, 4) at temperature 1: eighths."""
    scores = torch.tensor([[1.0, 3, 4], [2, 2, 4]], dtype=F64).log()
    scores[1] += 5
    want = torch.tensor([[1.0, 3, 4], [2, 2, 4]], dtype=F64) / 8
    assert_close(targets(scores, 1.0), want)
    assert_close(log_targets(scores, 1.0), want.log())


def test_every_list_has_a_cross_entropy_of_its_own():
    """All mass on the first of (1, 3)/4, and halves against (1, 1)/2."""
    target = torch.tensor([[1.0, 0], [0.5, 0.5]], dtype=F64)
    logits = torch.tensor([[1.0, 3], [7, 7]], dtype=F64).log()
    assert_close(cross_entropy(target, logits).tolist(), [math.log(4), math.log(2)])
