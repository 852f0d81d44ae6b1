"""Whether a probability of 0.8 comes true eight times in ten.

A probability belongs to an ordered pair: p = P(first ≻ second) and the label says
whether the first was called better. "Chosen" always stands first in preference data,
which would make every label 1. Each pair therefore counts in BOTH orders here, (p, y)
and (1 − p, 1 − y). Labels may be probabilities themselves: the same functions then give
their expectation over labels, with no sampling noise.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Values = Float[Tensor, "pair"]


def _orders(
    probabilities: Values, labels: Tensor, weight: Values | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Both orders of every pair, in float64, with weights that add up to 1."""
    p, y = probabilities.double(), labels.double()
    w = torch.ones_like(p) if weight is None else weight.double()
    w = torch.cat([w, w]) / (2 * w.sum())
    return torch.cat([p, 1 - p]), torch.cat([y, 1 - y]), w


def reliability(
    probabilities: Values,
    labels: Tensor,
    bins: int = 10,
    *,
    weight: Values | None = None,
):
    """How often the first response won, beside the predicted probability.

    Args:
        probabilities: P(first ≻ second), one per pair.
        labels: 1 or True where the first was called better; or its true probability.
        bins: number of bins of equal width on [0, 1]; an even number keeps one half
            at an edge, so no bin mixes the two orders of a pair.
        weight: how much each pair counts.

    Returns:
        DataFrame[bin, low, high, predicted, observed, share], non-empty bins; share
        of the pairs in both orders.
    """
    import pandas as pd

    p, y, w = _orders(probabilities, labels, weight)
    first, second = p.chunk(2)
    upper = (torch.maximum(first, second) * bins).long().clamp(max=bins - 1)
    # mirrored by number, as 1 − p is rounded; ½ stays above in both orders
    which = torch.cat(
        [
            torch.where(first >= 0.5, upper, bins - 1 - upper),
            torch.where(first <= 0.5, upper, bins - 1 - upper),
        ]
    )
    rows = []
    for b in which.unique().tolist():
        here = which == b
        share = w[here].sum()
        predicted, observed = ((w * v)[here].sum() / share for v in (p, y))
        row = (b, b / bins, (b + 1) / bins)
        rows.append((*row, predicted.item(), observed.item(), share.item()))
    names = ["bin", "low", "high", "predicted", "observed", "share"]
    return pd.DataFrame(rows, columns=names)


def ece(
    probabilities: Values,
    labels: Tensor,
    bins: int = 10,
    *,
    weight: Values | None = None,
) -> float:
    """Expected calibration error, Σ share·|predicted − observed| over the bins.

    With few pairs per bin it is too large: sampling noise counts as miscalibration.
    It is 0 for a constant ½, which knows nothing; read ``brier`` beside it.
    """
    table = reliability(probabilities, labels, bins, weight=weight)
    return float((table.share * (table.predicted - table.observed).abs()).sum())


def brier(
    probabilities: Values, labels: Tensor, *, weight: Values | None = None
) -> dict[str, float]:
    """Brier score and its parts: score = reliability − resolution + uncertainty.

    Murphy's decomposition is exact here, as pairs are grouped by their very
    probability; a soft label stands for a label that is 1 with that probability.

    Returns:
        score, reliability (0 is calibrated), resolution (large is informative) and
        uncertainty (¼, as both orders of each pair count).
    """
    p, y, w = _orders(probabilities, labels, weight)
    _, which = p.unique(return_inverse=True)
    empty = torch.zeros(int(which.max()) + 1, dtype=torch.float64)
    share = empty.index_add(0, which, w)
    stated = empty.index_add(0, which, w * p) / share
    seen = empty.index_add(0, which, w * y) / share
    base = (w * y).sum()
    return {
        "score": (w * (p**2 - 2 * p * y + y)).sum().item(),
        "reliability": (share * (stated - seen) ** 2).sum().item(),
        "resolution": (share * (seen - base) ** 2).sum().item(),
        "uncertainty": (base * (1 - base)).item(),
    }


def temperature(
    margins: Values, labels: Tensor, *, weight: Values | None = None
) -> float:
    """The T that minimises the negative log-likelihood of σ(margin/T).

    Above 1 the margins are overconfident. The likelihood is concave in 1/T, so the
    root of its slope is found by bisection. Accuracy does not depend on T.

    Args:
        margins: score of the first minus score of the second, reward units.
        labels: 1 where the first was called better; or its probability.
        weight: how much each pair counts.

    Returns:
        T; 0 if every margin has the sign of its label (no finite T is best), infinity
        if the margins are no better than chance.
    """
    d, y = margins.double(), labels.double()
    w = torch.ones_like(d) if weight is None else weight.double()

    def slope(sharpness: float) -> float:
        return (w * d * (y - (sharpness * d).sigmoid())).sum().item()

    if slope(0.0) <= 0:
        return float("inf")
    if ((y == 0) | (y == 1)).all() and (d * (2 * y - 1) >= 0).all():
        return 0.0
    low, high = 0.0, 1.0 / d.abs().max().item()
    while slope(high) > 0:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return 2 / (low + high)
