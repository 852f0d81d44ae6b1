"""Judge a paper's claim by an effect and its interval over seeds.

A verdict is computed, never typed; :mod:`workbench.teach.judging` has its rules.
"""

import csv
import html
import math
import os
import tempfile
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.teach import judging
from workbench.teach.judging import (
    CONTRADICTED,
    FEW,
    NOT_CONVERGED,
    OTHER_SETTING,
    REPRODUCED,
    Side,
)

MIME = "application/vnd.workbench.claim+json"
COLOUR = {REPRODUCED: "#0072b2", CONTRADICTED: "#d55e00"}


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
        verdict: one of those of :mod:`workbench.teach.judging`.
        must_hold: the notebook fails when a judged verdict is not *reproduced*.
        meaning: what a reader learns if the verdict stands, one sentence.
        reason: why the run could not have shown the claim; empty if it could.
        from_, to: the ends of the claimed range.
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
    meaning: str = ""
    reason: str = ""
    from_: float = -math.inf
    to: float = math.inf

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
        parts = [self.source, f"expected {self.expected}", f"saw {self.seen}"]
        parts += [text for text in (self.setting, self.reason) if text]
        return f"{self.verdict}: {self.statement} [{'; '.join(parts)}]"

    @property
    def source(self) -> str:
        """Whose claim it is; the sentence that is tested is always ours."""
        return "ours" if self.paper == "ours" else f"after {self.paper}"

    def _html(self) -> str:
        paint = f"color:{COLOUR.get(self.verdict, '#666')};font-weight:bold"
        rows = {
            "we test": f"{self.statement} ({self.source})",
            "expected": self.expected,
            "seen": self.seen,
            "setting": self.setting,
            "why": self.reason,
            "meaning": self.meaning,
        }
        body = "".join(
            f"<tr><th style='text-align:left'>{name}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in rows.items()
            if text
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


def claim(
    *,
    key: str,
    paper: str,
    statement: str,
    effect: Any,
    expected: str | tuple,
    unit: str = "",
    setting: str = "",
    meaning: str = "",
    kind: str = "seeds",
    tolerance: float | None = None,
    rest: tuple[Any, Any] | None = None,
    control: tuple[Any, str] | None = None,
    condition: tuple[bool, str] | None = None,
    out: str | Path | None = None,
    must_hold: bool = False,
) -> Claim:
    """Judge a claim, show it in the notebook, and record it.

    Args:
        key: short name, unique in the notebook; the same key replaces its row.
        paper: authors, year, identifier; ``"ours"`` if no source says it.
        statement: the claim in one sentence that could be false.
        effect: one value per seed; for an exact claim, one value or several.
        expected: ``"positive"``, ``"negative"``, ``"zero"`` or a range (low, high);
            fixed before the effect is seen.
        unit: unit of the effect (nats, reward units).
        setting: world, steps, noise; what a reader needs to repeat it.
        meaning: one sentence: what a reader learns if the verdict stands.
        kind: ``"exact"`` for a quantity that has no seeds, such as a theorem
            checked by enumeration.
        tolerance: half-width of ``"zero"``.
        rest: the quantity that the claim says something about, (at three quarters of
            the run, at its end), one value per seed. If it moves by more than a tenth
            of itself the verdict is *not converged*.
        control: (effects, what they are) of a case that must pass the same test, such
            as the method on clean labels. If it fails, *not converged*.
        condition: (whether it holds here, in words) the condition under which the
            paper makes the claim. If it does not hold, *other setting*.
        out: results folder of the notebook; its ``claims.csv`` gets the row.
        must_hold: fail the notebook unless the verdict is *reproduced*.

    Returns:
        the claim; ``.verdict``, ``.reproduced`` and ``.missed`` serve assert cells.

    Raises:
        ValueError: no effect, an effect that is not finite, an unknown kind or range.
    """
    if kind not in ("seeds", "exact"):
        raise ValueError(f"claim {key}: kind is 'seeds' or 'exact', not {kind!r}")
    values = judging.numbers(effect, f"claim {key}")
    side = Side.of(expected, tolerance)
    mean, low, high = judging.spread(values, kind)
    found, reason = _found(key, values, kind, side, rest, control, condition)
    made = Claim(
        key=key, notebook=Path(out).name if out else "", paper=paper,
        statement=statement, expected=side.words, mean=mean, low=low, high=high,
        seeds=len(values), unit=unit, setting=setting, kind=kind, verdict=found,
        must_hold=must_hold, meaning=meaning, reason=reason, from_=side.low,
        to=side.high,
    )  # fmt: skip
    if out is not None:
        _record(made, Path(out) / "claims.csv")
    _display(made)
    return made


def _found(
    key: str,
    values: list[float],
    kind: str,
    side: Side,
    rest: tuple[Any, Any] | None,
    control: tuple[Any, str] | None,
    condition: tuple[bool, str] | None,
) -> tuple[str, str]:
    """The verdict, and why the run could not have shown the claim if it could not."""
    found = judging.verdict(values, kind, side)
    if found == FEW:
        return found, ""
    if condition is not None and not condition[0]:
        return OTHER_SETTING, f"here it does not hold that {condition[1]}"
    if rest is not None:
        earlier, last = (judging.numbers(part, f"claim {key}") for part in rest)
        if why := judging.moving(earlier, last):
            return NOT_CONVERGED, why
    if control is not None:
        effects, words = judging.numbers(control[0], f"claim {key}"), control[1]
        if judging.verdict(effects, kind, side) != REPRODUCED:
            mean = sum(effects) / len(effects)
            return NOT_CONVERGED, f"the control, {words}, fails it too ({mean:.3g})"
    return found, ""


def _record(made: Claim, path: Path) -> None:
    """Put the row into the file, in place of one with the same key, atomically."""
    names = [f.name for f in fields(Claim)]
    rows = {}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = {row["key"]: row for row in csv.DictReader(file)}
    real = ("mean", "low", "high", "from_", "to")
    numbers = {name: f"{getattr(made, name):.10g}" for name in real}
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
    """The claims of several notebooks in one table, one row per claim.

    Args:
        paths: ``claims.csv`` files, or the result folders that hold one.

    Returns:
        the fields of :class:`Claim` as columns, in the order of the paths.
    """
    names = [f.name for f in fields(Claim)]
    frames = [pd.DataFrame(columns=names)]
    for path in map(Path, paths):
        file = path / "claims.csv" if path.is_dir() else path
        text = ("key", "notebook", "unit", "setting", "meaning", "reason")
        text = dict.fromkeys(text, str)
        blank = {"low": ["nan"], "high": ["nan"]}  # a unit may be empty, no NaN
        frame = pd.read_csv(file, dtype=text, na_values=blank, keep_default_na=False)
        # a file of an older version lacks the later columns
        later = {f.name: f.default for f in fields(Claim) if f.default is not MISSING}
        frames.append(
            frame.assign(**{k: v for k, v in later.items() if k not in frame})
        )
    kept = [frame for frame in frames if len(frame)] or frames[:1]
    return pd.concat(kept, ignore_index=True)[names]
