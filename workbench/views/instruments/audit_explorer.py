"""The audit explorer: whose rewards, on which pairs, and of which lengths.

A policy may order pairs by their lengths, or know only those that it has read. Both are
seen where the same number is read on pairs of equal length, and on pairs held out.
"""

import pandas as pd
import torch

from workbench.core.statistics import cluster_interval
from workbench.views.aggregate import need
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Choice, Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import HLine, Line, Points, VLine
from workbench.views.style import role

COLUMNS = ("chosen", "rejected", "margin", "chosen_tokens", "rejected_tokens")
APART = (0, 1, 2, 4, 8, 16, 32)  # tokens between the lengths of a pair
FEW = (0, 4, 32)


def accuracy(rows: pd.DataFrame) -> tuple[float, float, float]:
    """The share of pairs that are ordered as they are labelled; a tie counts ½.

    Args:
        rows: DataFrame[prompt, margin], one row per pair.

    Returns:
        (mean, low, high): a 95 % interval clustered by prompt, within 0 and 1; NaN
        where there is no pair, and for the ends where there is one prompt only.
    """
    if rows.empty:
        return (float("nan"),) * 3
    right = 0.5 + 0.5 * torch.tensor(rows["margin"].tolist()).double().sign()
    clusters = torch.tensor(rows["prompt"].factorize()[0].tolist())
    mean, _, low, high = cluster_interval(right, clusters)
    ends = (end if end != end else min(max(end, 0.0), 1.0) for end in (low, high))
    return (mean, *ends)


def audit_figure(frame: pd.DataFrame, checkpoint: str, pairs: str, apart: int) -> Fig:
    """Two panels: both rewards of each pair, and margin against length.

    Args:
        frame: what ``audit_explorer`` takes; ranges are those of the checkpoint.
        checkpoint, pairs: which of its rows.
        apart: pairs whose lengths differ by more tokens than this are drawn pale.

    Raises:
        KeyError: a column is missing, or there are no such rows.
    """
    need(frame, "checkpoint", "pairs", "prompt", *COLUMNS)
    rows = frame[(frame["checkpoint"] == checkpoint) & (frame["pairs"] == pairs)]
    if rows.empty:
        raise KeyError(f"no pairs {pairs!r} of {checkpoint!r}")
    longer = rows["chosen_tokens"] - rows["rejected_tokens"]
    counts = longer.abs() <= apart
    drawn = []
    for here, name, faint in ((~counts, "other", True), (counts, "counted", False)):
        some, look = rows[here], role("guide" if faint else "policy")
        sides = some["rejected"].tolist(), some["chosen"].tolist()
        margin = longer[here].tolist(), some["margin"].tolist()
        drawn.append([Points(*at, name, look, size=6) for at in (sides, margin)])
    own = frame[frame["checkpoint"] == checkpoint]  # one scale for both of its files
    ends = _ends(own[["chosen", "rejected"]])
    far = _ends(own["chosen_tokens"] - own["rejected_tokens"])
    diagonal = Line(ends, ends, "margin 0", role("guide"))
    charts = [
        Chart("Rewards of each pair", "rejected (reward units)",
              "chosen (reward units)", [diagonal, drawn[0][0], drawn[1][0]],
              x_range=ends, y_range=ends),
        Chart("Margin and length", "chosen longer by (tokens)",
              "margin (reward units)", [HLine(0), VLine(0), drawn[0][1], drawn[1][1]],
              x_range=far, y_range=_ends(own["margin"])),
    ]  # fmt: skip
    told = _told(rows[counts], len(rows), f"{checkpoint}, pairs {pairs}", apart)
    table = rows.assign(counted=counts)[["prompt", *COLUMNS, "counted"]]
    return Fig(Panels(charts), told, table)


def _ends(values) -> tuple[float, float]:
    """A range that holds all values with some room; one value has room, too."""
    low, high = float(values.min(axis=None)), float(values.max(axis=None))
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


def _told(counted: pd.DataFrame, total: int, whose: str, apart: int) -> str:
    mean, low, high = accuracy(counted)
    said = f"{len(counted)} of {total} pairs count"
    if counted.empty:
        return f"{whose}, lengths at most {apart} tokens apart: {said}."
    between = "" if low != low else f" [{low:.2f}, {high:.2f}]"
    return (
        f"{whose}, lengths at most {apart} tokens apart: {said}; {mean:.2f}{between} "
        f"of them are ordered as labelled, the mean margin is "
        f"{counted['margin'].mean():+.2f} reward units."
    )


def audit_explorer(frame: pd.DataFrame, *, live: bool | None = None) -> Instrument:
    """Audited pairs: choose the checkpoint, the file, and how alike lengths must be.

    Args:
        frame: DataFrame[checkpoint, pairs, prompt, chosen, rejected, margin,
            chosen_tokens, rejected_tokens], rows of ``Audit.pairs`` and ``held_out``
            under the names of their checkpoint and of their file.
        live: True, False, or None to ask the surroundings.
    """
    whose, which = (list(frame[name].unique()) for name in ("checkpoint", "pairs"))

    def draw(checkpoint: str, pairs: str, apart: int) -> Fig:
        return audit_figure(frame, checkpoint, pairs, apart)

    controls = {
        "checkpoint": Choice("checkpoint", whose, whose[0]),
        "pairs": Choice("pairs", which, which[0]),
        "apart": Slider("lengths differ by at most (tokens)", APART, APART[-1], FEW),
    }
    return Instrument("Audit explorer", draw, controls, live, computed_by=accuracy)
