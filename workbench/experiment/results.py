"""Rows of a comparison, kept in a folder as they come, and read again by a resumed one.

Numbers go through the text of ``runs.csv`` in any case, so that a comparison in pieces
ends with the bytes of one that was never interrupted. Seconds never repeat; they lie in
a file of their own, ``seconds.csv``.
"""

import csv
import math
from collections.abc import Callable, Sequence
from io import StringIO

from workbench.core.errors import BadRun
from workbench.core.outputs import Outputs
from workbench.experiment.candidates import Candidate

RUNS, SECONDS, TABLE, PICTURE = "runs.csv", "seconds.csv", "standings.csv", "arena.png"
FILES = (RUNS, SECONDS, TABLE, PICTURE)


class Results:
    """The rows so far.

    Args:
        seeds: rows that each method has.
        everyone: who takes part.
        outputs: the folder; None to keep rows in memory only.

    Raises:
        BadRun: the folder is resumed, and its ``runs.csv`` cannot be read.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        everyone: Sequence[Candidate],
        outputs: Outputs | None,
    ):
        self.methods = [candidate.key for candidate in everyone]
        self.outputs, self._parts, self._seconds = outputs, {}, {}
        if outputs is not None and outputs.resumed:
            self._restore(list(seeds))

    def __contains__(self, method: str) -> bool:
        return method in self._parts

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, frame) -> None:
        """One method's rows of ``fit.fit``; they are on the disk when it ends."""
        method = frame["method"].iloc[0]
        if "seconds" in frame:
            self._seconds[method] = frame["seconds"].iloc[0]
        self._parts[method] = frame.drop(columns="seconds", errors="ignore")
        if self.outputs is not None:
            # runs.csv is written last: a method that is in it is complete
            self.outputs.write(SECONDS, self._spent())
            self.outputs.write(RUNS, self._runs())

    @property
    def frame(self):
        """What ``fit.compare`` returns."""
        frame = _parsed(self._runs())
        return frame.assign(seconds=frame["method"].map(self._seconds).astype(float))

    def _runs(self) -> str:
        import pandas as pd

        whole = pd.concat(list(self._parts.values()), ignore_index=True)
        return whole.to_csv(index=False)

    def _spent(self) -> str:
        import pandas as pd

        columns = {
            "method": list(self._seconds),
            "seconds": list(self._seconds.values()),
        }
        return pd.DataFrame(columns).to_csv(index=False)

    def _restore(self, seeds: list[int]) -> None:
        runs, spent = (self.outputs.folder / name for name in (RUNS, SECONDS))
        if not runs.is_file():
            return
        try:
            frame = _parsed(runs.read_text(encoding="utf-8"))
            if missing := sorted(set(_READ) - set(frame)):
                raise ValueError(f"no column {', '.join(missing)}")
            parts = dict(list(frame.groupby("method", sort=False)))
            complete = all(part["seed"].tolist() == seeds for part in parts.values())
            if not (parts and complete and set(parts) <= set(self.methods)):
                raise ValueError("its rows are not those of this comparison")
            if spent.is_file():
                seconds = _parsed(spent.read_text(encoding="utf-8"))
                self._seconds = seconds.set_index("method")["seconds"].to_dict()
        except (OSError, ValueError, KeyError, csv.Error) as error:
            message = f"{RUNS} or {SECONDS}: {error}; renew the folder with --overwrite"
            raise BadRun(self.outputs.folder, "broken results", message) from error
        self._parts = parts


def _parsed(text: str):
    """A table of ours, every number as it was written.

    Raises:
        ValueError, KeyError: it is none.
    """
    import pandas as pd

    head, *rows = csv.reader(StringIO(text, newline=""), strict=True)
    if any(len(row) != len(head) for row in rows):
        raise ValueError("a row is longer or shorter than the first")
    return pd.DataFrame(
        {
            name: [_READ.get(name, _number)(row[place]) for row in rows]
            for place, name in enumerate(head)
        }
    )


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan


_READ: dict[str, Callable] = dict.fromkeys(("method", "world", "data", "problem"), str)
_READ |= {"seed": int, "outside": {"True": True, "False": False}.__getitem__}
