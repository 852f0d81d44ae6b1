"""Data tables and captions as escaped HTML."""

import html
from numbers import Integral, Real

import pandas as pd


def cell(value: object) -> str:
    """A table cell: four significant digits for numbers, escaped text otherwise."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return html.escape(str(value))
    if isinstance(value, Integral):
        return str(int(value))
    return f"{float(value):.4g}"


def table(frame: pd.DataFrame, rows: int = 12) -> str:
    """The first `rows` rows of `frame` as an HTML table."""
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in frame.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>"
        for row in frame.head(rows).itertuples(index=False)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def folded(frame: pd.DataFrame, rows: int = 12) -> str:
    """`table` behind a disclosure triangle that says how many rows there are."""
    shown = min(rows, len(frame))
    of = f"{shown} rows" if shown == len(frame) else f"{shown} of {len(frame)} rows"
    return f"<details><summary>Data ({of})</summary>{table(frame, rows)}</details>"


def below_figure(caption: str, frame: pd.DataFrame, rows: int = 12) -> str:
    """A caption and, folded, the numbers behind the figure.

    Args:
        caption: one sentence.
        frame: the figure's data.
        rows: rows shown at most.

    Returns:
        HTML in which all text from data is escaped.
    """
    return f"<p><em>{html.escape(caption.strip())}</em></p>{folded(frame, rows)}"
