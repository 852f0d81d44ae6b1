"""Rows of a table of measures: measure, value, low, high, n, unit.

Intervals have 95 % and count clusters, such as the prompts of pairs or samples.
"""

from collections.abc import Iterable, Mapping

from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core.statistics import cluster_interval

COLUMNS = ("measure", "value", "low", "high", "n", "unit")
Row = Mapping[str, object]


def of_mean(
    measure: str,
    values: Float[Tensor, " sample"],
    clusters: Int[Tensor, " sample"],
    unit: str,
    where: Bool[Tensor, " sample"] | None = None,
) -> Row:
    """The mean of values, with its interval.

    Args:
        measure: its name in the table.
        values: one number per sample.
        clusters: which cluster each belongs to.
        unit: of the values.
        where: the samples that count; all of them if None, and without any the row has
            no value.
    """
    if where is not None:
        values, clusters = values[where], clusters[where]
    row = {"measure": measure, "n": len(values), "unit": unit}
    if not len(values):
        return row
    value, _, low, high = cluster_interval(values, clusters)
    return row | {"value": value, "low": low, "high": high}


def of_number(measure: str, value: float, n: int, unit: str = "") -> Row:
    """A number that is no mean, and has no interval.

    Args:
        measure: its name in the table.
        value: NaN where nothing can be said.
        n: samples that it was computed from.
        unit: of the value; empty for a number without one.
    """
    return {"measure": measure, "value": value, "n": n, "unit": unit}


def table(rows: Iterable[Row]):
    """DataFrame[measure, value, low, high, n, unit]; NaN where a row says nothing."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(COLUMNS))
