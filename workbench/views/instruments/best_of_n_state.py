"""Best-of-n along all n, exactly: the plain functions behind the best-of-n dial.

Every response has a push, d log P_n(y) / d log n, whose mean under P_n is 0. So the
slope of gold in log n is the covariance of gold with the push under P_n, exactly, and
gold turns over where that covariance crosses zero. For scores without ties the push is
1 + n log F: what counts is the rank of a response, not its score.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.methods.decoding import best_of_n
from workbench.worlds import solutions

NS = tuple(sorted({round(2 ** (k / 2)) for k in range(25)}))  # 1, 2, 3, 4, … 4,096
Table = Float[Tensor, "prompt response"]


def push_of_n(ref_logps: Table, scores: Table, n: int) -> Table:
    """d log P_n(y) / d log n: how fast each response gains as more are drawn.

    With a = F≤ and b = F<, P_n ∝ aⁿ − bⁿ gives n log a − q / (e^−q − 1), q = n log b/a.

    Args:
        ref_logps: log π_ref of every response.
        scores: what picks the best of n.
        n: responses drawn.
    """
    ranked, order = scores.sort(-1)
    upto = ref_logps.exp().gather(-1, order).cumsum(-1)
    upto = torch.nn.functional.pad(upto / upto[..., -1:], (1, 0))
    most = upto.gather(-1, torch.searchsorted(ranked, scores, right=True))
    less = upto.gather(-1, torch.searchsorted(ranked, scores))
    # the lowest level has F< = 0 and loses as fast as n log a says
    gap = n * (less / most).clamp(min=1e-300).log()
    return n * most.log() - gap / torch.expm1(-gap)


def best_of_n_path(
    ref_logps: Table, proxy: Table, gold: Table, ns: Sequence[int] = NS
) -> pd.DataFrame:
    """Where best-of-n of a proxy lies for each n, exactly, averaged over prompts.

    Args:
        ref_logps: log π_ref of every response, nats.
        proxy: what picks the best of n, reward units.
        gold: the reward that is meant.
        ns: responses drawn.

    Returns:
        DataFrame[n, kl, gold, proxy, slope, covariance]: slope is the covariance of
        gold with the push, reward units per unit of log n; covariance that of gold
        with the proxy; both under the best-of-n distribution.
    """
    rows = []
    for n in ns:
        logps = best_of_n.log_distribution(ref_logps, proxy, n)
        values = (
            solutions.kl(logps, ref_logps),
            solutions.expectation(logps, gold),
            solutions.expectation(logps, proxy),
            solutions.covariance(logps, gold, push_of_n(ref_logps, proxy, n)),
            solutions.covariance(logps, gold, proxy),
        )
        rows.append((n, *(value.mean().item() for value in values)))
    names = ["n", "kl", "gold", "proxy", "slope", "covariance"]
    return pd.DataFrame(rows, columns=names)
