"""The claims that the shown copies have judged, and where each stands."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.book.inert import slug
from workbench.book.papers import Paper, named
from workbench.core.errors import printable
from workbench.runner.verdict import CLAIM

LONGEST = 400  # characters of a field


@dataclass(frozen=True)
class Claim:
    """A judged claim; whatever a claim holds is text here.

    Attributes:
        chapter: name of its notebook.
        key, statement, paper, expected, seen, verdict: as the notebook judged it.
        shown: whether it stands in its chapter and has an anchor there.
    """

    chapter: str
    key: str
    statement: str
    paper: str
    expected: str
    seen: str
    verdict: str
    shown: bool = True

    @property
    def address(self) -> str:
        """Its place, from the book's root."""
        place = f"#{anchor(self.key)}" if self.shown else ""
        return f"{self.chapter}.html{place}"

    @property
    def papers(self) -> list[Paper]:
        """What it follows; none if it is ours."""
        return [] if self.paper.strip() == "ours" else named(self.paper)

    @property
    def row(self) -> dict[str, str]:
        """What the catalogue asks of a claim to tell whose it is."""
        told = {"statement": self.statement, "paper": self.paper}
        return told | {"notebook": self.chapter}


def anchor(key: object) -> str:
    """The id of a claim on its page."""
    return f"claim-{slug(printable(key, 80))}"


def emitted(notebook: Any) -> list[dict[str, Any]]:
    """The claims in a notebook's outputs; one that is no mapping is none."""
    values = (
        output.get("data", {}).get(CLAIM)
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )
    return [claim for claim in values if isinstance(claim, dict)]


def claims(chapter: str, notebook: Any, root: Path) -> list[Claim]:
    """The claims of a chapter; of several with one key the last counts.

    Args:
        chapter: name of the notebook.
        notebook: the shown copy, None if there is none: then its table is read.
        root: the project folder.
    """
    found = emitted(notebook) if notebook is not None else []
    shown = bool(found)
    return _last(chapter, found or _on_file(root, chapter), shown)


def _last(name: str, found: Iterable[dict[str, Any]], shown: bool) -> list[Claim]:
    told = ("statement", "paper", "expected", "verdict")
    last = {str(claim.get("key")): claim for claim in found}
    return [
        Claim(
            chapter=name,
            key=printable(key, 80),
            seen=printable(seen(claim), LONGEST),
            shown=shown,
            **{field: printable(claim.get(field, ""), LONGEST) for field in told},
        )
        for key, claim in last.items()
    ]


def seen(claim: dict[str, Any]) -> str:
    """What the effect was: mean, unit, interval and seeds, where they are numbers."""
    mean, low, high = (_number(claim.get(key)) for key in ("mean", "low", "high"))
    exact = claim.get("kind") == "exact"
    span = f" [{low}, {high}]" if low and high and not exact else ""
    seeds = claim.get("seeds")
    how = "exact" if exact else f"{seeds} seeds"
    return f"{mean} {claim.get('unit', '')}{span}" + (f", {how}" if seeds else "")


def _number(value: Any) -> str:
    """Three digits of a number; anything else as it is."""
    if value in (None, "", "nan"):
        return ""
    try:
        return f"{float(value):.3g}"
    except (TypeError, ValueError, OverflowError):
        return str(value)


def _on_file(root: Path, name: str) -> list[dict[str, Any]]:
    path = root / "data" / "results" / name / "claims.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []
