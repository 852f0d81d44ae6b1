"""Why a row is no record, and what stands where a value cannot be read."""

from dataclasses import dataclass


class Problem(Exception):
    """Why a row is no record; the reader adds the file and the line.

    Attributes:
        reason: short phrase that is the same for every case of its kind.
        detail: what was found.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Unreadable:
    """A value of a parquet file that Python has no room for, or that is damaged.

    It is no reason to refuse a row that does not use it.

    Attributes:
        reason: short phrase that is the same for every case of its kind.
        detail: the type in the file, and what went wrong.
        mark: differs where the values differ, so that their rows are no duplicates.
    """

    reason: str
    detail: str
    mark: str
