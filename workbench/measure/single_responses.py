"""Where a loss of single responses pushes a log-ratio, and where all of them rest.

Thumbs of infinitely many readers: a response that a share q of them likes costs
q·(loss of a thumb up) + (1 − q)·(loss of a thumb down), a function of its log-ratio
alone once the loss's reference point is fixed. Nothing is drawn here.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.feedback.kinds.thumbs import ThumbLogps

Method = ModuleType | Any  # has ``loss(batch, cfg)`` of thumbs
Shaped = Float[Tensor, " response"]
Number = float | int | Tensor


def risk(
    method: Method,
    cfg: Any,
    logratio: Shaped,
    share: Number,
    *,
    point: Number = 0.0,
    mean: Number = 0.0,
) -> Shaped:
    """Expected loss of responses with given log-ratios, over their readers.

    Args:
        method: a module with ``loss(batch, cfg)`` of thumbs.
        cfg: its Config.
        logratio: log π/π_ref of each response, nats.
        share: of the readers, who press a thumb up; one number, or one per response.
        point: the batch's ``reference_point`` (KTO's z₀ before its clamp), nats.
        mean: the batch's ``reference_mean`` (BCO's δ/β), nats.
    """
    flat = torch.zeros_like(logratio.detach())
    full = torch.ones(len(logratio), 1, dtype=torch.bool)
    points = flat + point, flat + mean

    def cost(up: bool) -> Tensor:
        thumbs = torch.full(logratio.shape, up)
        columns = logratio[:, None], flat[:, None], full
        return method.loss(ThumbLogps(*columns, thumbs, *points), cfg)

    return share * cost(True) + (1 - share) * cost(False)


def push(
    method: Method,
    cfg: Any,
    logratio: Shaped,
    share: Number,
    *,
    point: Number = 0.0,
    mean: Number = 0.0,
) -> Shaped:
    """−d risk/d log-ratio of each response, loss units per nat; above 0 it rises.

    Args: those of ``risk``.
    """
    at = logratio.detach().double().requires_grad_()
    total = risk(method, cfg, at, share, point=point, mean=mean).sum()
    return -torch.autograd.grad(total, at)[0]


def of_grid(method: Method, cfg: Any, shares: Sequence[float], logratios: Shaped):
    """Pushes of responses at given log-ratios, for several shares of their readers.

    Args:
        method, cfg: as in ``risk``; its reference points are 0.
        shares: of the readers who like a response.
        logratios: nats.

    Returns:
        DataFrame[method, share, logratio, push], nats and loss units per nat.
    """
    import pandas as pd

    parts = [
        pd.DataFrame(
            {
                "method": method.card.key,
                "share": share,
                "logratio": logratios.tolist(),
                "push": push(method, cfg, logratios, share).tolist(),
            }
        )
        for share in shares
    ]
    return pd.concat(parts, ignore_index=True)


def descend(
    method: Method,
    cfg: Any,
    ref_logps: Shaped,
    share: Number,
    *,
    shown: Shaped | None = None,
    steps: int = 1000,
    rate: float = 5.0,
) -> Shaped:
    """log π after plain gradient descent over a few responses that share one sum.

    The loss reads its reference points exactly: KL(π‖π_ref) for ``reference_point``,
    the mean log-ratio of what is shown for ``reference_mean``. Both are constants of a
    step. A loss without a minimiser is still on its way when the steps are over.

    Args:
        method, cfg, share: as in ``risk``.
        ref_logps: log π_ref of all responses of one prompt, nats.
        shown: how often readers see each response; as often as π_ref writes it if None.
        steps: of gradient descent on the logits.
        rate: of a step; a large one runs in circles around the place of rest.
    """
    ref = ref_logps.detach().double().log_softmax(-1)
    shown = ref.exp() if shown is None else shown.double()
    logits = ref
    for _ in range(steps):
        at = logits.clone().requires_grad_()
        logratio = at.log_softmax(-1) - ref
        now = logratio.detach()
        points = {"point": (now + ref).exp() @ now, "mean": shown @ now}
        total = shown @ risk(method, cfg, logratio, share, **points)
        logits = logits - rate * torch.autograd.grad(total, at)[0]
    return logits.log_softmax(-1)
