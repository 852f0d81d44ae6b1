"""Three links of the margin, and where each leaves the margin of one pair.

With a share ε of labels that say the opposite, the mean loss of a pair is
(1 − ε) ℓ(D) + ε ℓ(−D) and its push (1 − ε) w(D) − ε w(−D): a link that never stops on
clean labels may then rest. Plain numbers, because one move takes thousands of steps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, log1p

# (margin in nats, strength) to loss units, and to loss units per nat
Curve = Callable[[float, float], float]
STEPS, RATE = 2000, 0.1


@dataclass(frozen=True)
class Link:
    """A loss that sees a pair only through its margin.

    Attributes:
        loss: ℓ(D), by the margin and the strength.
        push: w(D) = −dℓ/dD, by the same.
        by_tau: whether τ is its strength; else β is.
    """

    loss: Curve
    push: Curve
    by_tau: bool = False


@dataclass(frozen=True)
class Pulled:
    """A link with its strength and a share of opposite labels.

    Attributes:
        link: the link.
        strength: β or τ.
        flips: ε, the share of labels that say the opposite.
    """

    link: Link
    strength: float | int
    flips: float | int = 0.0

    def loss(self, margin: float) -> float:
        """The mean loss of a pair, loss units."""
        against = self.flips and self.flips * self.link.loss(-margin, self.strength)
        return (1 - self.flips) * self.link.loss(margin, self.strength) + against

    def push(self, margin: float) -> float:
        """The mean push on a pair, loss units per nat."""
        against = self.flips and self.flips * self.link.push(-margin, self.strength)
        return (1 - self.flips) * self.link.push(margin, self.strength) - against


def margin_walk(pulled: Pulled, n: int = STEPS) -> list[float]:
    """The margin of a pair after 0, 1, … n steps of 0.1 · its mean push, in nats.

    Args:
        pulled: what pushes.
        n: how many steps.
    """
    margins = [0.0]
    for _ in range(n):
        margins.append(margins[-1] + RATE * pulled.push(margins[-1]))
    return margins


def _softplus(x: float) -> float:
    return max(x, 0.0) + log1p(exp(-abs(x)))


def _hinge_push(margin: float, beta: float) -> float:
    return beta if beta * margin < 1 - 1e-9 else 0.0  # ten tenths are 1


FAMILIES: Mapping[str, Link] = {
    "DPO": Link(
        lambda margin, beta: _softplus(-beta * margin),
        lambda margin, beta: beta / (1 + exp(beta * margin)),
    ),
    "hinge": Link(lambda margin, beta: max(0.0, 1 - beta * margin), _hinge_push),
    "IPO": Link(
        lambda margin, tau: (margin - 1 / (2 * tau)) ** 2,
        lambda margin, tau: 2 * (1 / (2 * tau) - margin),
        by_tau=True,
    ),
}
