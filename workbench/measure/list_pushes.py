"""What a listwise loss wants of each response, and how alike two losses are in it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.feedback.kinds.lists import ListLogps


def of_lists(method: Any, cfg: Any, batch: ListLogps) -> Float[Tensor, "batch group"]:
    """−dL/d log π(y_k) of each response, in the unit of the loss per nat.

    Args:
        method: has ``loss(batch, cfg)``, a function of log-probs of whole responses.
        cfg: the method's Config.
        batch: some lists.
    """
    live = batch.policy.detach().requires_grad_()
    cost = method.loss(replace(batch, policy=live), cfg).sum()
    (slope,) = torch.autograd.grad(cost, live)
    # of a sum over tokens each token has the slope of the response
    return -(slope * batch.mask).sum(-1) / batch.mask.sum(-1)


def angles(losses: Mapping[str, tuple[Any, Any]], batch: ListLogps):
    """The angle between the pushes of every two losses, in degrees.

    Two losses that differ by a factor and a constant have an angle of 0.

    Args:
        losses: name to (method, cfg).
        batch: the lists on which they are compared.

    Returns:
        DataFrame, a row and a column for each loss.
    """
    import pandas as pd

    vectors = [of_lists(*loss, batch).flatten() for loss in losses.values()]
    unit = torch.stack([vector / vector.norm() for vector in vectors])
    # half the distance of two unit vectors: exact where the cosine is nearly 1
    apart = torch.stack([(unit - one).norm(dim=-1) / 2 for one in unit])
    degrees = 2 * apart.clamp(max=1).asin().rad2deg()
    names = list(losses)
    return pd.DataFrame(degrees.tolist(), names, names)
