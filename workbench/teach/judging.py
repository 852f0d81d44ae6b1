"""The verdict on a claim: a pure function of effects, range, controls and condition.

*reproduced*: the whole 95 % interval lies on the claimed side. *contradicted*: all of
it lies on the other side. *undecided*: it straddles. Before any of these it is asked
whether the run could have shown the claim: *not converged* when the distance that it
is about still moves, or when a control that must pass fails the same test; *other
setting* when the condition under which the paper claims it does not hold here. Fewer
than three seeds are not judged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.statistics import interval

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
UNDECIDED = "undecided"
NOT_CONVERGED = "not converged"
OTHER_SETTING = "other setting"
FEW = "too few seeds"
MINIMUM_SEEDS = 3
STILL = 0.1  # a value that moves by more than a tenth of itself has not come to rest


@dataclass(frozen=True)
class Side:
    """The claimed range of an effect.

    Attributes:
        low, high: its ends; an end of ±∞ is open.
        words: the range as text.
    """

    low: float | int
    high: float | int
    words: str

    @classmethod
    def of(cls, expected: str | tuple, tolerance: float | None = None) -> "Side":
        """From ``"positive"``, ``"negative"``, ``"zero"`` or a pair of ends.

        Raises:
            ValueError: an unknown word, an empty range, or zero without a tolerance.
        """
        if isinstance(expected, tuple):
            low, high = expected
            if not low < high:
                raise ValueError(f"expected range {expected} is empty")
            return cls(low, high, _range(low, high))
        # an effect of exactly zero is neither positive nor negative
        if expected == "positive":
            return cls(math.nextafter(0.0, 1.0), math.inf, "positive")
        if expected == "negative":
            return cls(-math.inf, math.nextafter(0.0, -1.0), "negative")
        if expected == "zero":
            if tolerance is None or not tolerance > 0:
                # an interval around zero is no evidence for zero unless it is narrow
                raise ValueError(
                    "expected='zero' needs a tolerance: how small is zero?"
                )
            return cls(-tolerance, tolerance, f"zero (within ±{tolerance:g})")
        raise ValueError(
            f"expected is positive, negative, zero or a range, not {expected}"
        )


def _range(low: float | int, high: float | int) -> str:
    if math.isinf(high):
        return f"at least {low:g}"
    return f"at most {high:g}" if math.isinf(low) else f"between {low:g} and {high:g}"


def judge(low: float, high: float, side: Side) -> str:
    """Verdict of an interval against the claimed range."""
    if side.low <= low and high <= side.high:
        return REPRODUCED
    if high < side.low or low > side.high:
        return CONTRADICTED
    return UNDECIDED


def numbers(effect: Any, of: str) -> list[float]:
    """An effect as a list of finite numbers.

    Raises:
        ValueError: there is none, or one is not finite; the message names ``of``.
    """
    try:
        values = [float(value) for value in effect]
    except TypeError:  # a number, or a tensor without axes
        values = [float(effect)]
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"{of}: effects must be finite numbers, got {values}")
    return values


def spread(values: Sequence[float], kind: str) -> tuple[float, float, float]:
    """Mean and the ends of its interval; of an exact claim mean, smallest, largest."""
    if kind == "exact":
        return sum(values) / len(values), min(values), max(values)
    if len(values) == 1:
        return values[0], math.nan, math.nan
    return interval(list(values))


def verdict(values: Sequence[float], kind: str, side: Side) -> str:
    """Verdict of the effects alone, as if the run could have shown the claim."""
    _, low, high = spread(values, kind)
    if kind == "seeds":
        return judge(low, high, side) if len(values) >= MINIMUM_SEEDS else FEW
    # a theorem holds at every value or it does not hold
    return REPRODUCED if judge(low, high, side) == REPRODUCED else CONTRADICTED


def moving(earlier: Sequence[float], last: Sequence[float]) -> str:
    """Why a value has not come to rest; empty if it has.

    Args:
        earlier: the value per seed, some time before the end (three quarters through).
        last: the same at the end.
    """
    before, after = sum(earlier) / len(earlier), sum(last) / len(last)
    if abs(after - before) <= STILL * max(abs(after), 1e-9):
        return ""
    return f"it still moves: from {before:.3g} to {after:.3g} at the end of the run"
