"""Token and sequence log-probabilities, in nats."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Reduce = Literal["sum", "mean"]


def token_logps(
    logits: Float[Tensor, "batch time vocab"],
    ids: Int[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
) -> Float[Tensor, "batch time"]:
    """Log-probability of every token given those before it.

    ``logits[:, t]`` predicts ``ids[:, t + 1]``, so the result at ``t`` reads the logits
    at ``t - 1``; position 0 has no prediction.

    Args:
        logits: next-token logits of the model.
        ids: the tokens that were read.
        mask: True where a token counts (response tokens, EOS included).

    Returns:
        log π(ids[t] | ids[<t]) in nats where the mask is True, 0 elsewhere.
    """
    logps = logits[:, :-1].log_softmax(-1)
    picked = logps.gather(-1, ids[:, 1:, None])[..., 0]
    # a masked position may hold -inf (a forbidden token): where(), never a product
    picked = torch.where(mask[:, 1:], picked, torch.zeros_like(picked))
    return torch.nn.functional.pad(picked, (1, 0))


def sequence_logps(
    logps: Float[Tensor, "*batch time"],
    mask: Bool[Tensor, "*batch time"],
    reduce: Reduce = "sum",
) -> Float[Tensor, "*batch"]:
    """Add token values over the response.

    Args:
        logps: one value per token, in nats.
        mask: True on response tokens.
        reduce: ``"sum"`` for nats per sequence, ``"mean"`` for nats per token. The two
            are different methods, never a matter of taste.

    Returns:
        one value per sequence.

    Raises:
        ValueError: ``reduce`` is neither.
    """
    total = torch.where(mask, logps, torch.zeros_like(logps)).sum(-1)
    if reduce == "sum":
        return total
    if reduce == "mean":
        return total / mask.sum(-1).clamp(min=1)
    raise ValueError(f"reduce is 'sum' or 'mean', not {reduce!r}")


def last_token(mask: Bool[Tensor, "*batch time"]) -> Bool[Tensor, "*batch time"]:
    """True on the last response token of each row, and nowhere else.

    A response of several turns has several stretches of True; its end is one place.
    """
    left = mask.flip(-1).cumsum(-1).flip(-1)
    return mask & (left == 1)
