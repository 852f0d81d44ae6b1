"""Judge a paper's claim by an effect and its interval over seeds.

A verdict is computed, never typed: *reproduced* when the whole 95 % interval lies on
the claimed side, *contradicted* when the whole interval lies on the other side, and
*not at this scale* when it straddles. Fewer than three seeds are not judged.
"""

import csv
import html
import math
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.core.statistics import interval

MIME = "application/vnd.workbench.claim+json"
REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
SCALE = "not at this scale"
FEW = "too few seeds"
MINIMUM_SEEDS = 3
COLOUR = {REPRODUCED: "#0072b2", CONTRADICTED: "#d55e00", SCALE: "#666", FEW: "#666"}


@dataclass(frozen=True)
class Claim:
    """What a paper says, what we saw, and the verdict.

    Attributes:
        key: short name, unique in its notebook.
        notebook: folder name of the results, e.g. ``20_dpo_anatomy``.
        paper: authors, year, identifier.
        statement: the claim, in one sentence.
        expected: the claimed range of the effect, as text.
        mean: mean effect over seeds, in ``unit``.
        low: lower end of the 95 % interval (the smallest value of an exact claim).
        high: upper end of the 95 % interval (the largest value of an exact claim).
        seeds: how many values the mean is over.
        unit: unit of the effect.
        setting: where it was seen: world, steps, noise.
        kind: ``"seeds"`` or ``"exact"``.
        verdict: reproduced, contradicted, not at this scale, or too few seeds.
        must_hold: the notebook fails when a judged verdict is not *reproduced*.
    """

    key: str
    notebook: str
    paper: str
    statement: str
    expected: str
    mean: float
    low: float
    high: float
    seeds: int
    unit: str
    setting: str
    kind: str
    verdict: str
    must_hold: bool

    @property
    def reproduced(self) -> bool:
        """True when the verdict is *reproduced*."""
        return self.verdict == REPRODUCED

    @property
    def missed(self) -> bool:
        """True when the claim must hold, was judged, and was not reproduced."""
        return self.must_hold and self.verdict not in (REPRODUCED, FEW)

    @property
    def seen(self) -> str:
        """The effect with its interval, as text."""
        number = f"{self.mean:.3g} {self.unit}".strip()
        if self.kind == "exact":
            return f"{number} (exact)"
        if self.seeds < 2:
            return f"{number} (1 seed)"
        return f"{number} [{self.low:.3g}, {self.high:.3g}] ({self.seeds} seeds)"

    def bundle(self) -> dict[str, object]:
        """The MIME bundle a notebook stores: JSON for tools, HTML and text to read."""
        record = {k: _json(v) for k, v in asdict(self).items()}
        record["missed"] = self.missed
        return {MIME: record, "text/html": self._html(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        told = [self.paper, f"expected {self.expected}", f"saw {self.seen}"]
        told += [self.setting] if self.setting else []
        return f"{self.verdict}: {self.statement} [{'; '.join(told)}]"

    def _html(self) -> str:
        paint = f"color:{COLOUR[self.verdict]};font-weight:bold"
        rows = {
            "paper": f"{self.statement} ({self.paper})",
            "expected": self.expected,
            "seen": self.seen,
            "setting": self.setting,
        }
        body = "".join(
            f"<tr><th style='text-align:left'>{name}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in rows.items()
        )
        verdict = f"<caption style='text-align:left;{paint}'>{self.verdict}</caption>"
        return f"<table>{verdict}{body}</table>"

    def _ipython_display_(self) -> None:
        # claim() has shown itself: a cell that ends with it must not show it twice
        if _SHOWN.get(id(self)) != _execution_count():
            _display(self)


_SHOWN: dict[int, int | None] = {}


def _shell():
    """The notebook's shell, None outside one; IPython is not imported for it."""
    import sys

    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _execution_count() -> int | None:
    shell = _shell()
    return shell.execution_count if shell else None


def _display(claim: Claim) -> None:
    if _shell() is None:
        return
    from IPython.display import display

    display(claim.bundle(), raw=True)
    _SHOWN[id(claim)] = _execution_count()


def _json(value: object) -> object:
    """JSON has no NaN: the interval of a single seed is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _side(expected: str | tuple, tolerance: float | None) -> tuple[float, float, str]:
    """The claimed range of the effect, and its text."""
    if isinstance(expected, tuple):
        low, high = expected
        if not low < high:
            raise ValueError(f"expected range {expected} is empty")
        return low, high, f"between {low:g} and {high:g}"
    # an effect of exactly zero is neither positive nor negative
    if expected == "positive":
        return math.nextafter(0.0, 1.0), math.inf, "positive"
    if expected == "negative":
        return -math.inf, math.nextafter(0.0, -1.0), "negative"
    if expected == "zero":
        if tolerance is None or not tolerance > 0:
            # an interval around zero is no evidence for zero unless it is narrow
            raise ValueError("expected='zero' needs a tolerance: how small is zero?")
        return -tolerance, tolerance, f"zero (within ±{tolerance:g})"
    raise ValueError(f"expected is positive, negative, zero or a range, not {expected}")


def judge(low: float, high: float, side: tuple[float, float]) -> str:
    """Verdict of an interval against the claimed range."""
    if side[0] <= low and high <= side[1]:
        return REPRODUCED
    if high < side[0] or low > side[1]:
        return CONTRADICTED
    return SCALE


def _spread(values: list[float], kind: str) -> tuple[float, float, float]:
    if kind == "exact":
        return sum(values) / len(values), min(values), max(values)
    if len(values) == 1:
        return values[0], math.nan, math.nan
    return interval(values)


def _verdict(
    values: list[float], low: float, high: float, kind: str, side: tuple[float, float]
) -> str:
    if kind == "seeds":
        return judge(low, high, side) if len(values) >= MINIMUM_SEEDS else FEW
    # a theorem holds at every value or it does not hold
    return REPRODUCED if judge(low, high, side) == REPRODUCED else CONTRADICTED


def claim(
    *,
    key: str,
    paper: str,
    statement: str,
    effect: Any,
    expected: str | tuple,
    unit: str = "",
    setting: str = "",
    kind: str = "seeds",
    tolerance: float | None = None,
    out: str | Path | None = None,
    must_hold: bool = False,
) -> Claim:
    """Judge a claim, show it in the notebook, and record it.

    Args:
        key: short name, unique in the notebook; the same key replaces its row.
        paper: authors, year, identifier.
        statement: the claim in one sentence that could be false.
        effect: one value a seed; for an exact claim, one value or several.
        expected: ``"positive"``, ``"negative"``, ``"zero"`` or a range (low, high).
        unit: unit of the effect (nats, reward units).
        setting: world, steps, noise; what a reader needs to repeat it.
        kind: ``"exact"`` for a quantity that has no seeds, such as a theorem
            checked by enumeration.
        tolerance: half-width of ``"zero"``.
        out: results folder of the notebook; its ``claims.csv`` gets the row.
        must_hold: fail the notebook unless the verdict is *reproduced*.

    Returns:
        the claim; ``.verdict``, ``.reproduced`` and ``.missed`` serve assert cells.

    Raises:
        ValueError: no effect, an effect that is not finite, an unknown kind or range.
    """
    values = [float(v) for v in effect] if _many(effect) else [float(effect)]
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"claim {key}: effects must be finite numbers, got {values}")
    if kind not in ("seeds", "exact"):
        raise ValueError(f"claim {key}: kind is 'seeds' or 'exact', not {kind!r}")
    *side, words = _side(expected, tolerance)
    mean, low, high = _spread(values, kind)
    made = Claim(
        key=key, notebook=Path(out).name if out else "", paper=paper,
        statement=statement, expected=words, mean=mean, low=low, high=high,
        seeds=len(values), unit=unit, setting=setting, kind=kind,
        verdict=_verdict(values, low, high, kind, tuple(side)), must_hold=must_hold,
    )  # fmt: skip
    if out is not None:
        _record(made, Path(out) / "claims.csv")
    _display(made)
    return made


def _many(effect: object) -> bool:
    try:
        len(effect)
    except TypeError:  # a number, or a tensor without axes
        return False
    return True


def _record(made: Claim, path: Path) -> None:
    """Put the row into the file, in place of one with the same key, atomically."""
    names = [f.name for f in fields(Claim)]
    rows = {}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = {row["key"]: row for row in csv.DictReader(file)}
    numbers = {n: f"{getattr(made, n):.10g}" for n in ("mean", "low", "high")}
    rows[made.key] = asdict(made) | numbers
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows.values())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def claims_table(paths: Iterable[str | Path]) -> pd.DataFrame:
    """The claims of several notebooks in one table, a row a claim.

    Args:
        paths: ``claims.csv`` files, or the result folders that hold one.

    Returns:
        the fields of :class:`Claim` as columns, in the order of the paths.
    """
    names = [f.name for f in fields(Claim)]
    frames = [pd.DataFrame(columns=names)]
    for path in map(Path, paths):
        file = path / "claims.csv" if path.is_dir() else path
        text = dict.fromkeys(("key", "notebook", "unit", "setting"), str)
        blank = {"low": ["nan"], "high": ["nan"]}  # a unit may be empty, no NaN
        frames.append(
            pd.read_csv(file, dtype=text, na_values=blank, keep_default_na=False)
        )
    kept = [frame for frame in frames if len(frame)] or frames[:1]
    return pd.concat(kept, ignore_index=True)[names]
