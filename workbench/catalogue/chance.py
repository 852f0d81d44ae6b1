"""How many verdicts chance alone would produce, and which stand when this is counted.

A verdict by a 95 % interval is wrong one time in twenty if the effect lies exactly at
the limit of its claim. With two hundred claims that is ten verdicts.
"""

import math
from collections.abc import Mapping, Sequence

Row = Mapping[str, str]
DECIDED = ("reproduced", "contradicted")
LEVEL = 0.05  # of a 95 % interval, both sides together


def by_interval(rows: Sequence[Row]) -> list[Row]:
    """The claims that were judged by an interval over seeds."""
    judged = (*DECIDED, "undecided")
    return [r for r in rows if r["kind"] == "seeds" and r["verdict"] in judged]


def p_value(row: Row) -> float:
    """How likely so extreme a mean is if the effect lay at the limit of its claim.

    It speaks for the side on which the mean lies, decided or not: an undecided claim
    was tested too.

    Args:
        row: a claim of ``claims.csv``: mean, ends of its interval, seeds, and the
            claimed range ``from_`` … ``to``.
    """
    from workbench.core.statistics import student_t, student_tail

    mean, high, n = float(row["mean"]), float(row["high"]), int(row["seeds"])
    error = (high - mean) / student_t(n - 1)
    begin, end = float(row["from_"]), float(row["to"])
    inside = begin <= mean <= end
    gaps = [mean - begin, end - mean] if inside else [begin - mean, mean - end]
    # inside both limits count; outside only the one that was passed
    gaps = [g for g in gaps if math.isfinite(g) and (inside or g > 0)]
    if not error or not gaps:
        return 0.0
    return max(student_tail(gap / error, n - 1) for gap in gaps)


def fragile(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """Decided claims that do not stand when all tests of their notebook are counted.

    Returns:
        (notebook, key) of each: the false-discovery rate is held at 5 % per notebook.
    """
    from workbench.core.statistics import discoveries

    found = set()
    ranged = [r for r in by_interval(rows) if r.get("from_")]
    for notebook in dict.fromkeys(r["notebook"] for r in ranged):
        family = [r for r in ranged if r["notebook"] == notebook]
        stand = discoveries([p_value(r) for r in family], LEVEL)
        found |= {
            (r["notebook"], r["key"])
            for r, stands in zip(family, stand, strict=True)
            if r["verdict"] in DECIDED and not stands
        }
    return found


def sentence(rows: Sequence[Row]) -> str:
    """What chance alone would do, for the top of CLAIMS.md."""
    n = len(by_interval(rows))
    return (
        f"{n} of them are judged by a 95 % interval over seeds. If every effect lay "
        f"exactly at the limit of its claim, chance alone would decide "
        f"{LEVEL * n:.0f} of these. {len(fragile(rows))} decided verdicts, marked †, "
        "do not stand when the false-discovery rate of their notebook is held at 5 % "
        "(Benjamini and Hochberg). An interval speaks of other seeds of the pairs, for "
        "the one reference model of its notebook."
    )
