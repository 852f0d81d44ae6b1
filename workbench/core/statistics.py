"""Intervals over seeds and samples."""

import math
from collections.abc import Sequence

import torch

# Two-sided Student t quantiles at 95 %, by degrees of freedom (Fisher's table).
_T95 = (
    12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004,
    2.262157, 2.228139, 2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905,
    2.109816, 2.100922, 2.093024, 2.085963, 2.079614, 2.073873, 2.068658, 2.063899,
    2.059539, 2.055529, 2.051831, 2.048407, 2.045230, 2.042272,
)  # fmt: skip


def student_t(df: int) -> float:
    """The two-sided 95 % quantile of Student's t distribution, within 1e-5.

    Args:
        df: degrees of freedom, at least 1.
    """
    if df <= len(_T95):
        return _T95[df - 1]
    # Cornish-Fisher around the normal quantile (Abramowitz and Stegun, 26.7.5)
    z = 1.959964
    first = (z**3 + z) / (4 * df)
    return z + first + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)


def interval(values: Sequence[float] | torch.Tensor) -> tuple[float, float, float]:
    """Mean and its 95 % Student interval.

    Args:
        values: one number per seed or sample, at least two.

    Returns:
        (mean, low, high) in the unit of the values.

    Raises:
        ValueError: fewer than two values have no interval.
    """
    data = torch.as_tensor(values, dtype=torch.float64).flatten()
    n = data.numel()
    if n < 2:
        raise ValueError("an interval needs at least two values")
    mean = data.mean().item()
    half = student_t(n - 1) * data.std().item() / math.sqrt(n)
    return mean, mean - half, mean + half


def cluster_interval(
    values: torch.Tensor, clusters: torch.Tensor
) -> tuple[float, float, float, float]:
    """Mean of values that come in clusters, such as samples of a few prompts.

    Values of one cluster are no independent draws: the standard error is that of the
    clusters' sums, with G/(G − 1) for G clusters, and Student's t has G − 1 degrees.

    Args:
        values: one number per sample.
        clusters: which cluster each belongs to, whole numbers.

    Returns:
        (mean, standard error, low, high) in the unit of the values; NaN but for the
        mean where there is one cluster only.
    """
    data = values.detach().double().flatten()
    mean = data.mean().item()
    _, place = clusters.unique(return_inverse=True)
    count = int(place.max()) + 1
    if count < 2:
        return mean, math.nan, math.nan, math.nan
    sums = torch.zeros(count, dtype=torch.float64).index_add_(0, place, data - mean)
    stderr = (sums.square().sum() * count / (count - 1)).sqrt().item() / len(data)
    half = student_t(count - 1) * stderr
    return mean, stderr, mean - half, mean + half


def rank_correlation(first, second) -> float:
    """Spearman's rank correlation; tied values share their mean rank."""
    import pandas as pd

    ranks = [pd.Series(list(map(float, values))).rank() for values in (first, second)]
    return float(ranks[0].corr(ranks[1]))


def student_tail(t: float | int, df: int) -> float:
    """P(T > t) of Student's distribution, within 1e-6.

    Args:
        t: where the tail begins.
        df: degrees of freedom, at least 1.
    """
    # with T = √df · tan θ the density is proportional to cos θ to the power df − 1
    angle = torch.linspace(-math.pi / 2, math.pi / 2, 20_001, dtype=torch.float64)
    density = angle.cos().clamp(min=0) ** (df - 1)
    begin = math.atan(t / math.sqrt(df))
    fine = torch.linspace(begin, math.pi / 2, 20_001, dtype=torch.float64)
    tail = torch.trapezoid(fine.cos().clamp(min=0) ** (df - 1), fine)
    return (tail / torch.trapezoid(density, angle)).item()


def discoveries(p_values: Sequence[float], rate: float = 0.05) -> list[bool]:
    """Which of several findings stand if at most a share of them may be false.

    Benjamini and Hochberg (1995): the k smallest p-values stand, with the largest k
    whose k-th smallest is at most k/n of the rate.

    Args:
        p_values: one per finding.
        rate: the share of false ones among those that stand, on average.
    """
    n = len(p_values)
    ranked = sorted(range(n), key=p_values.__getitem__)
    last = max(
        (k for k in range(1, n + 1) if p_values[ranked[k - 1]] <= rate * k / n),
        default=0,
    )
    kept = set(ranked[:last])
    return [i in kept for i in range(n)]
