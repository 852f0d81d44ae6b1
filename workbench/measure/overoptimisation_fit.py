"""The overoptimisation laws of Gao et al. 2023 (2210.10760), fitted by least squares.

With d = √KL(π‖π_ref) in √nats and R = gold minus the reference's gold:

    best-of-n   R = d (α − β d)        peak at d = α/(2β), height α²/(4β)
    RL          R = d (α − β log d)    peak at d = exp(α/β − 1), height β d

Both are linear in (α, β). β is the law's coefficient, no KL weight.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.statistics import student_t

Law = Literal["bon", "rl"]


def numbers(values: Iterable[float] | Tensor) -> Tensor:
    """Float64, also from a column of a DataFrame, whose index may start anywhere."""
    if not isinstance(values, Tensor):
        values = torch.tensor([float(value) for value in values], dtype=torch.float64)
    return values.double()


def _columns(d: Float[Tensor, "point"], law: Law) -> Float[Tensor, "point 2"]:
    bend = d**2 if law == "bon" else torch.xlogy(d, d)
    return torch.stack([d, -bend], dim=-1)


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    Attributes:
        law: ``"bon"`` or ``"rl"``.
        alpha: reward units per √nat.
        beta: reward units per nat (bon) or per √nat (rl).
        intervals: 95 % intervals of both, ``{"alpha": (low, high), "beta": …}``, those
            of least squares with independent errors; points of one exact curve have no
            noise, and for them they show misfit alone.
        r2: share of the variance of R explained, about the mean.
        peak: (d, gold above the reference) of the law's maximum at d > 0; None if the
            law rises for ever.
        range: smallest and largest d of the data.
    """

    law: Law
    alpha: float
    beta: float
    intervals: dict[str, tuple[float, float]]
    r2: float
    peak: tuple[float, float] | None
    range: tuple[float, float]

    @property
    def hump(self) -> bool:
        """Whether the law's peak lies inside the data: gold is seen to fall."""
        return self.peak is not None and self.range[0] < self.peak[0] < self.range[1]

    def __call__(self, d: Iterable[float] | Tensor) -> Tensor:
        """Gold above the reference that the law gives at d = √KL."""
        d = numbers(d)
        return _columns(d, self.law) @ torch.tensor([self.alpha, self.beta]).double()


def _peak(law: Law, alpha: float, beta: float) -> tuple[float, float] | None:
    if beta <= 0 or (law == "bon" and alpha <= 0):
        return None
    if law == "bon":
        return alpha / (2 * beta), alpha**2 / (4 * beta)
    d = math.exp(min(alpha / beta - 1, 700.0))
    return d, beta * d


def fit(
    d: Iterable[float] | Tensor,
    gold: Iterable[float] | Tensor,
    law: Law = "bon",
    *,
    start: float = 0.0,
) -> Fit:
    """Fit one of the two laws by linear least squares.

    Args:
        d: √KL(π‖π_ref), √nats.
        gold: gold reward.
        law: ``"bon"`` or ``"rl"``.
        start: gold reward of the reference, subtracted first.

    Raises:
        ValueError: fewer than three different d > 0, or an unknown law.
    """
    if law not in ("bon", "rl"):
        raise ValueError(f"law is 'bon' or 'rl', not {law!r}")
    d, gain = numbers(d), numbers(gold) - start
    if len(d[d > 0].unique()) < 3:
        raise ValueError("two parameters and their intervals need three different √KL")
    x = _columns(d, law)
    coefficients = torch.linalg.lstsq(x, gain, driver="gelsd").solution
    residual = gain - x @ coefficients
    df = len(d) - 2
    variance = residual @ residual / df * torch.linalg.inv(x.T @ x).diagonal()
    half = student_t(df) * variance.sqrt()
    alpha, beta = coefficients.tolist()
    bounds = torch.stack([coefficients - half, coefficients + half], -1).tolist()
    spread = (gain - gain.mean()).square().sum()
    return Fit(
        law=law,
        alpha=alpha,
        beta=beta,
        intervals={"alpha": tuple(bounds[0]), "beta": tuple(bounds[1])},
        r2=(1 - residual @ residual / spread).item(),
        peak=_peak(law, alpha, beta),
        range=(d.min().item(), d.max().item()),
    )
