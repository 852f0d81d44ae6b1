"""What a beam searches for: the likeliest response, or the one that was raised most."""

import math

import pytest
import torch

from workbench.measure.beam_search import by_width
from workbench.worlds.reviews import Reviews


def test_the_likeliest_response_is_not_the_one_that_was_raised_most():
    """Of nine reviews π writes the first two at 0.6 and 0.3, π_ref at 0.9 and 0.05."""
    world = Reviews(1)
    policy, ref = (
        torch.full((4, 9), (1 - one - two) / 7, dtype=torch.float64)
        for one, two in ((0.6, 0.3), (0.9, 0.05))
    )
    policy[:, :2] = torch.tensor([0.6, 0.3], dtype=torch.float64)
    ref[:, :2] = torch.tensor([0.9, 0.05], dtype=torch.float64)
    for width in (1, 9):
        likely = by_width(policy.log(), world, ref.log(), [width]).iloc[0]
        raised = by_width(
            policy.log(), world, ref.log(), [width], "implicit reward"
        ).iloc[0]
        assert likely["logp"] == pytest.approx(math.log(0.6))
        assert likely["logratio"] == pytest.approx(math.log(2 / 3))
        assert raised["logp"] == pytest.approx(math.log(0.3))
        assert raised["logratio"] == pytest.approx(math.log(6))
        assert (likely["length"], raised["length"]) == (0, 1)
