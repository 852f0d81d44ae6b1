"""What a loop returns, and how it reads from disk."""

import csv
import io
import math
import re
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.contracts import Trainable
from workbench.core.errors import BadRun
from workbench.loops.folder import CARD, METRICS, broken, object_of, text_of

if TYPE_CHECKING:
    import pandas

AGAIN = "put it back as it was, or train again"
_NUMBER = r"(-?([0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|inf))?"  # an empty cell is NaN


@dataclass
class Run:
    """A finished training run.

    Attributes:
        policy: what was trained.
        metrics: one row per seed and measured step.
        config: method, settings, seed, versions.
        critic: the value model trained beside it, if there was one.
        seconds: wall-clock time of the loop; never written to disk.
    """

    policy: Trainable
    metrics: "pandas.DataFrame"
    config: dict
    critic: Trainable | None = None
    seconds: float = field(default=0.0, compare=False)

    @property
    def last(self):
        """The metrics of the last step, one row per seed."""
        return self.metrics[self.metrics["step"] == self.metrics["step"].max()]


def describe(method, cfg) -> dict:
    """The part of run.json that names the method and its settings."""
    settings = (
        {} if cfg is None else {f.name: getattr(cfg, f.name) for f in fields(cfg)}
    )
    return {
        "method": method.card.key,
        "method_config": {k: _plain(v) for k, v in settings.items()},
    }


def _plain(value: object) -> object:
    """What JSON can hold; an object such as a divergence goes by its name."""
    return vars(value)["name"] if is_dataclass(value) else value


def read(folder: str | Path):
    """Configuration and metrics of a run folder.

    Returns:
        (config, metrics DataFrame), every float as it was written.

    Raises:
        BadRun: a file is missing or holds something else.
    """
    import pandas as pd

    folder = Path(folder)
    if not folder.is_dir():
        raise BadRun(folder, "no run", "there is no such folder")
    config = object_of(folder / CARD, AGAIN)
    path = folder / METRICS
    header, *rows = _rows(path)
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    frame = pd.DataFrame({name: _column(values) for name, values in cells.items()})
    for name, values in cells.items():
        numbers = [bool(re.fullmatch(_NUMBER, cell)) for cell in values if cell]
        if any(numbers) and not all(numbers):
            raise broken(path, f"{name} has numbers and words", AGAIN)
    for name in ("step", "seed"):
        if name not in frame or frame[name].dtype != "int64":
            raise broken(path, f"it has no column of whole numbers named {name}", AGAIN)
    return config, frame


def _rows(path: Path) -> list[list[str]]:
    """Header and lines of a CSV file, all of one length and the last one whole."""
    text = text_of(path, AGAIN)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise broken(path, str(error), AGAIN) from error
    whole = len(rows) > 1 and text.endswith("\n")
    if not whole or {len(set(rows[0]))} != set(map(len, rows)):
        raise broken(path, "it is no table, or its end is missing", AGAIN)
    return rows


def _column(cells: tuple[str, ...]) -> list:
    """Whole numbers, numbers, truths or words, as ``DataFrame.to_csv`` wrote them."""
    kinds = (
        ("-?[0-9]{1,18}", int),
        (_NUMBER, lambda cell: float(cell or "nan")),
        ("True|False", lambda cell: cell == "True"),
    )
    for pattern, convert in kinds:
        if all(re.fullmatch(pattern, cell) for cell in cells):
            return [convert(cell) for cell in cells]
    return [cell or math.nan for cell in cells]
