"""The table of a comparison: means over seeds, sorted, with their intervals."""

import math

from workbench.core.errors import BadOption
from workbench.core.statistics import interval
from workbench.core.suggest import suggest

# column: (its meaning, whether small is good)
ORDERS = {
    "gold": ("gold reward", False),
    "regret": ("β·KL(π‖π*_β), reward units", True),
    "frontier_gap": ("gold below the exact frontier at equal KL", True),
    "kl": ("KL(π‖π_ref), nats", True),
    "ece": ("calibration error", True),
    "accuracy": ("held-out accuracy", False),
    "seconds": ("training seconds", True),
}
EXACT = ("regret", "frontier_gap")  # only where all responses are known


def orders(is_exact: bool) -> list[str]:
    """The columns that a comparison can be sorted by.

    Args:
        is_exact: whether all responses of its world are known.
    """
    return [name for name in ORDERS if is_exact or name not in EXACT]


def check_order(by: str, known: list[str]) -> None:
    """Whether a table can be sorted by a column.

    Raises:
        BadOption: it is none of the known ones.
    """
    if by not in known:
        near = suggest(by, known)
        raise BadOption(f"sort by one of {', '.join(known)}, not {by!r}{near}")


def leaderboard(frame, by: str = "gold"):
    """One row per method: the mean of every number over seeds, best first.

    Args:
        frame: of ``compare``, one world.
        by: a column of ``ORDERS``.

    Returns:
        DataFrame[rank, method, outside, gold, gold_low, gold_high, …, seeds]; methods
        without numbers stand last, with their problem.

    Raises:
        BadOption: no such column to sort by.
    """
    import pandas as pd

    # where every method failed there are no numbers, but there is a table
    lost = bool((frame["problem"] != "").all())
    check_order(by, [name for name in ORDERS if lost or name in frame])
    rows = []
    for method, part in frame.groupby("method", sort=False):
        first = part.iloc[0]
        row = {"method": method, "outside": bool(first["outside"])}
        numbers = part.select_dtypes("number").drop(columns="seed")
        row |= numbers.mean().to_dict()
        if len(part) > 1 and not first["problem"]:
            _, row["gold_low"], row["gold_high"] = interval(part["gold"].tolist())
        rows.append(row | {"seeds": len(part), "problem": first["problem"]})
    table = pd.DataFrame(rows).assign(**({} if by in frame else {by: math.nan}))
    table = table.sort_values(by, ascending=ORDERS[by][1], kind="stable")
    table.insert(0, "rank", range(1, len(table) + 1))
    return table.reset_index(drop=True)


def markdown(table, columns: tuple[str, ...] | None = None) -> str:
    """The leaderboard as aligned text, numbers to three digits."""
    names = [n for n in columns or _SHOWN if n in table]
    body = [[_text(row[name]) for name in names] for _, row in table.iterrows()]
    widths = [max(map(len, column)) for column in zip(names, *body, strict=True)]
    lines = [names, ["-" * width for width in widths], *body]
    return "\n".join(
        "  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True))
        for line in lines
    )


_SHOWN = (
    "rank", "method", "gold", "gold_low", "gold_high", "kl", "regret", "frontier_gap",
    "chosen", "rejected", "accuracy", "ece", "seconds", "problem",
)  # fmt: skip


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
