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
    """The two-sided 95 % quantile of Student's law, within 1e-5.

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
        values: one number a seed or sample, at least two.

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
