"""The chance of a ranking: responses picked one after the other, the best first."""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.pairwise_sums import differences


def pick_nlls(
    logits: Float[Tensor, "*lead group group"], scores: Float[Tensor, "*lead group"]
) -> Float[Tensor, "*lead group"]:
    """−log of the chance of each pick, when responses go in the order of their scores.

    Args:
        logits: at (k, i) the logit of response i when k is the one to be picked.
        scores: in no order; i is left when k is picked if its score is lower. Equal
            scores are not compared: neither stands in the other's sum.

    Returns:
        for each response, in nats; 0 for the last, when nothing else is left.
    """
    own = torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
    left = logits.masked_fill(~(own | (differences(scores) > 0)), -torch.inf)
    return left.logsumexp(-1) - logits.diagonal(dim1=-2, dim2=-1)


def rank_nll(
    values: Float[Tensor, "*lead group"],
    scores: Float[Tensor, "*lead group"],
    top: int | None = None,
) -> Float[Tensor, "*lead"]:
    """−log of the Plackett–Luce chance of the order of the scores, in nats.

    Args:
        values: logit of each response, the same at every pick.
        scores: in no order; see ``pick_nlls``.
        top: picks that count, from the best; None is all of them.

    Returns:
        one sum over the ranks per list.
    """
    size = values.shape[-1]
    logits = values[..., None, :].expand(*values.shape[:-1], size, size)
    each = pick_nlls(logits, scores)
    if top is not None:
        better = (differences(scores) < 0).sum(-1)
        each = torch.where(better < top, each, torch.zeros_like(each))
    return each.sum(-1)
