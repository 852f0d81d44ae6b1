"""f-divergences of a policy from its reference, as objects; conjugates for imitation.

With u = π/π_ref, D_f(π‖π_ref) = E_ref[f(u)] for a convex f. Adding c(u − 1) to f adds
nothing to D_f, so every generator here is written with f(1) = f′(1) = 0, and f ≥ 0.
Papers leave that term out: their f′ differs by a constant, their D_f and every
difference of two f′ do not.

    divergence             f(u)                                 f′(u)           sup f′
    REVERSE_KL, KL(π‖ref)  u log u − u + 1                      log u           ∞
    FORWARD_KL, KL(ref‖π)  −log u + u − 1                       1 − 1/u         1
    JENSEN_SHANNON         u log u − (u + 1) log((u + 1)/2)     log 2u/(1 + u)  log 2
    alpha(a), 0 < a < 1    (u^(1−a) − (1−a)u − a)/(a(a − 1))    (1 − u^−a)/a    1/a
    CHI2_KL                ½(u − 1)² + u log u − u + 1          u − 1 + log u   ∞

For all of them f′(u) → −∞ as u → 0, so a regularised optimum leaves no response out and
the reward is β f′(u) up to a constant of the prompt. Pure χ² is not of that kind.
alpha(a) → REVERSE_KL for a → 0 and → FORWARD_KL for a → 1; TRL's coefficient is 1 − a.
JENSEN_SHANNON is twice the Jensen–Shannon divergence. CHI2_KL has χ²/2, where
χ² = E_ref[(u − 1)²], and one KL.

f′ is computed from d = log u. Exponents are cut at 80, so that e^80 fits into float32:
f′ stays finite for every d, and the part of its gradient that was cut is 0.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core.errors import BadOption

Shaped = Float[Tensor, "*shape"]
_LARGEST_EXPONENT = 80.0  # e^88 is the last in float32
_NEWTON_STEPS = 12  # each doubles the digits, from within 1 nat of the root
_STEEPEST = 100.0  # u beyond which Hellinger's conjugate is a line


@dataclass(frozen=True)
class Divergence:
    """A convex generator f with f(1) = f′(1) = 0, and the inverse of its slope.

    Attributes:
        name: as a legend shows it.
    """

    name: str

    @property
    def supremum(self) -> float:
        """sup f′ over u > 0, which is also lim f(u)/u."""
        raise NotImplementedError

    def generator(self, ratio: Shaped) -> Shaped:
        """f(u) of u = π/π_ref ≥ 0."""
        raise NotImplementedError

    def slope(self, logratio: Shaped) -> Shaped:
        """f′(u) at u = e^d, from the log-ratio d in nats."""
        raise NotImplementedError

    def log_density(self, slope: Shaped) -> Shaped:
        """d = log u with f′(u) = v, for v below the supremum."""
        raise NotImplementedError

    def density(self, slope: Shaped) -> Shaped:
        """u with f′(u) = v, for v below the supremum."""
        return self.log_density(slope).exp()


class _ReverseKL(Divergence):
    """KL(π‖π_ref)."""

    @property
    def supremum(self) -> float:
        return math.inf

    def generator(self, ratio: Shaped) -> Shaped:
        return torch.xlogy(ratio, ratio) - ratio + 1

    def slope(self, logratio: Shaped) -> Shaped:
        return logratio

    def log_density(self, slope: Shaped) -> Shaped:
        return slope


class _ForwardKL(Divergence):
    """KL(π_ref‖π)."""

    @property
    def supremum(self) -> float:
        return 1.0

    def generator(self, ratio: Shaped) -> Shaped:
        return -ratio.log() + ratio - 1

    def slope(self, logratio: Shaped) -> Shaped:
        return -torch.expm1((-logratio).clamp(max=_LARGEST_EXPONENT))

    def log_density(self, slope: Shaped) -> Shaped:
        return -torch.log1p(-slope)


class _JensenShannon(Divergence):
    """KL of π and of π_ref from their mean, added."""

    @property
    def supremum(self) -> float:
        return math.log(2)

    def generator(self, ratio: Shaped) -> Shaped:
        middle = (ratio + 1) / 2
        return torch.xlogy(ratio, ratio) - 2 * torch.xlogy(middle, middle)

    def slope(self, logratio: Shaped) -> Shaped:
        return math.log(2) + logsigmoid(logratio)

    def log_density(self, slope: Shaped) -> Shaped:
        # u = e^v / (2 − e^v)
        return slope - torch.log1p(-torch.expm1(slope))


@dataclass(frozen=True)
class Alpha(Divergence):
    """The α-divergence of Wang et al. 2023 (2309.16240).

    Attributes:
        a: α, between 0 (reverse KL) and 1 (forward KL).
    """

    a: float

    @property
    def supremum(self) -> float:
        """1/α."""
        return 1 / self.a

    def generator(self, ratio: Shaped) -> Shaped:
        """(u^(1−α) − (1−α)u − α)/(α(α − 1))."""
        a = self.a
        return (ratio ** (1 - a) - (1 - a) * ratio - a) / (a * (a - 1))

    def slope(self, logratio: Shaped) -> Shaped:
        """(1 − u^−α)/α."""
        exponent = (-self.a * logratio).clamp(max=_LARGEST_EXPONENT)
        return -torch.expm1(exponent) / self.a

    def log_density(self, slope: Shaped) -> Shaped:
        """u = (1 − αv)^(−1/α)."""
        return -torch.log1p(-self.a * slope) / self.a


class _ChiSquareKL(Divergence):
    """χ²/2 + KL(π‖π_ref), Huang et al. 2024 (2407.13399)."""

    @property
    def supremum(self) -> float:
        return math.inf

    def generator(self, ratio: Shaped) -> Shaped:
        return (ratio - 1) ** 2 / 2 + torch.xlogy(ratio, ratio) - ratio + 1

    def slope(self, logratio: Shaped) -> Shaped:
        return torch.expm1(logratio.clamp(max=_LARGEST_EXPONENT)) + logratio

    def log_density(self, slope: Shaped) -> Shaped:
        # d + e^d = v + 1 is convex in d: from the right, Newton comes down to the root
        target = slope + 1
        d = torch.where(target > 1, target.clamp(min=1).log(), target)
        for _ in range(_NEWTON_STEPS):
            d = d - (d + d.exp() - target) / (1 + d.exp())
        return d


REVERSE_KL = _ReverseKL("reverse KL")
FORWARD_KL = _ForwardKL("forward KL")
JENSEN_SHANNON = _JensenShannon("Jensen–Shannon")
CHI2_KL = _ChiSquareKL("χ² + KL")


def alpha(a: float) -> Divergence:
    """The α-divergence of the f-DPO paper; TRL's coefficient is 1 − α.

    Args:
        a: α strictly between 0 and 1.

    Raises:
        BadOption: α is 0 or 1, whose limits are REVERSE_KL and FORWARD_KL, or outside.
    """
    if not 0 < a < 1:
        raise BadOption(
            f"alpha is {a}; it lies between 0 (REVERSE_KL) and 1 (FORWARD_KL)"
        )
    return Alpha(f"α = {a:g}", a)


@dataclass(frozen=True)
class Conjugate:
    """A generator f, D_f(π‖E) = E_E[f(π/E)], with f*(t) = sup_u ut − f(u).

    D_f(π‖E) = sup_T E_π[T] − E_E[f*(T)], reached at T = f′(π/E). Generators here have
    f(1) = 0.

    Attributes:
        name: as a legend shows it.
    """

    name: str

    def generator(self, ratio: Shaped) -> Shaped:
        """f(u) of u = π/E ≥ 0."""
        raise NotImplementedError

    def value(self, t: Shaped) -> Shaped:
        """f*(t)."""
        raise NotImplementedError


class _TotalVariation(Conjugate):
    """f* = t for |t| ≤ ½; as t for all t it is the conjugate of "u is 1", so π = E."""

    def generator(self, ratio: Shaped) -> Shaped:
        return (ratio - 1).abs() / 2

    def value(self, t: Shaped) -> Shaped:
        return t


class _Pearson(Conjugate):
    """χ² without a half; for t < −2 over all u: over u ≥ 0 it would be flat, −1."""

    def generator(self, ratio: Shaped) -> Shaped:
        return (ratio - 1) ** 2

    def value(self, t: Shaped) -> Shaped:
        return t + t**2 / 4


class _Hellinger(Conjugate):
    """Twice the squared Hellinger distance, over u ≤ 100: a line instead of a pole."""

    def generator(self, ratio: Shaped) -> Shaped:
        return (ratio.sqrt() - 1) ** 2

    def value(self, t: Shaped) -> Shaped:
        end = 1 - _STEEPEST**-0.5  # f*′ = 1/(1 − t)² is 100 there
        within = t.clamp(max=end)
        return within / (1 - within) + _STEEPEST * (t - end).relu()


TOTAL_VARIATION = _TotalVariation("total variation")
PEARSON = _Pearson("Pearson χ²")
SQUARED_HELLINGER = _Hellinger("squared Hellinger")
