"""What a page without a kernel needs to compute an instrument itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Exact:
    """A rule that the book knows, and the exact tables that it reads.

    A rule is a function of `book/static/exact.js`: from the tables and the controls'
    values to the changes that `Instrument.draw` would make. The book then moves as
    finely as JupyterLab, and in all controls.

    Attributes:
        rule: its name there.
        tables: what it reads, JSON values.
    """

    rule: str
    tables: Mapping[str, Any]
