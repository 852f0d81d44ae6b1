"""Every pair of a list: differences of its values, and sums over its pairs."""

import torch
from jaxtyping import Float
from torch import Tensor

Values = Float[Tensor, "*lead group"]
Matrix = Float[Tensor, "*lead group group"]


def differences(values: Values) -> Matrix:
    """v_i − v_j at place (i, j), in the unit of the values."""
    return values[..., :, None] - values[..., None, :]


def ordered_sum(values: Matrix, scores: Values) -> Float[Tensor, "*lead"]:
    """Σ of v_ij over the pairs with score_i > score_j.

    Args:
        values: one value per ordered pair, the better response first.
        scores: of the responses, in no order; equal ones make no pair.

    Returns:
        one sum per list, not divided by the number of pairs.
    """
    won = differences(scores) > 0
    return torch.where(won, values, torch.zeros_like(values)).sum((-2, -1))


def unordered_sum(values: Matrix) -> Float[Tensor, "*lead"]:
    """Σ of v_ij over i > j: each pair once, for values that do not depend on its order.

    Args:
        values: symmetric in i and j; the diagonal is not read.

    Returns:
        one sum per list, not divided by the number of pairs.
    """
    return values.tril(-1).sum((-2, -1))
