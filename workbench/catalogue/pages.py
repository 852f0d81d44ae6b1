"""METHODS.md, CLAIMS.md and the tables of README.md, made from cards and verdicts."""

import csv
import io
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from workbench.catalogue import chance
from workbench.catalogue.clone import ROOT, sources
from workbench.catalogue.markdown import cell, grid
from workbench.catalogue.method_pages import methods_markdown, methods_page
from workbench.catalogue.reading_path import reading_path

SHIPPED = files("workbench") / "data" / "claims.csv"


def claims(results: Path | None = None) -> list[dict[str, str]]:
    """The rows of every ``claims.csv`` below the results folder, by notebook.

    Args:
        results: where to look; the clone's ``data/results`` unless told. An installed
            package has none, and tells the claims that it was shipped with.
    """
    folder = results or ROOT / "data" / "results"
    if results is None and not folder.is_dir():
        return list(csv.DictReader(io.StringIO(SHIPPED.read_text(encoding="utf-8"))))
    rows = []
    for path in sorted(folder.glob("*/claims.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows += [
                row | {"notebook": path.parent.name} for row in csv.DictReader(file)
            ]
    # the file of an older version lacks the later columns
    blank = dict.fromkeys((name for row in rows for name in row), "")
    return [blank | row for row in rows]


def claims_csv(rows: list[dict[str, str]]) -> str:
    """All rows of ``claims`` as one CSV text, for the package to ship."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def claims_markdown(rows: list[dict[str, str]] | None = None) -> str:
    """The claims of the README: how many of each verdict, notebook by notebook."""
    rows = claims() if rows is None else rows
    if not rows:
        return "No claim has been judged yet."
    verdicts = list(dict.fromkeys(row["verdict"] for row in rows))
    notebooks: dict[str, list[str]] = {}
    for row in rows:
        notebooks.setdefault(row["notebook"], []).append(row["verdict"])
    header = ("Notebook", *verdicts)
    body = (
        (name.replace("_", " "), *(told.count(verdict) or "" for verdict in verdicts))
        for name, told in notebooks.items()
    )
    return f"{_counts(rows)}\n\n{grid(header, body)}"


def _counts(rows: list[dict[str, str]]) -> str:
    verdicts = [row["verdict"] for row in rows]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
    return f"{len(rows)} claims judged: {counts}."


def claims_page(rows: list[dict[str, str]] | None = None) -> str:
    """The text of CLAIMS.md: every claim with what was seen."""
    rows = claims() if rows is None else rows
    header = ("Notebook", "We test", "Expected", "Seen (95 % interval)", "Verdict")
    weak = chance.fragile(rows)
    body = (
        [
            cell(row["notebook"].partition("_")[0]),
            cell(_tested(row)),
            cell(row["expected"]),
            cell(seen(row)),
            _verdict(row, weak),
        ]
        for row in rows
    )
    lines = (
        "# Claims",
        "",
        "Generated from `data/results/*/claims.csv` by "
        "`python -m workbench.catalogue --write`.",
        "",
        _counts(rows),
        chance.sentence(rows),
        "",
        grid(header, body),
    )
    return "\n".join(lines) + "\n"


def _tested(row: Mapping[str, str]) -> str:
    """The tested sentence, whose claim it follows, and where it was seen."""
    ours = row["paper"] == "ours"
    source = "ours" if ours else f"after {row['paper']}"
    setting = f" [{row['setting']}]" if row["setting"] else ""
    return f"{row['statement']} ({source}){setting}"


def _verdict(row: Mapping[str, str], weak: set[tuple[str, str]]) -> str:
    mark = " †" if (row["notebook"], row["key"]) in weak else ""
    reason = f": {cell(row['reason'])}" if row.get("reason") else ""
    return f"*{row['verdict']}*{mark}{reason}"


def seen(row: Mapping[str, Any]) -> str:
    """What a judged claim's effect was: mean, unit, 95 % interval, seeds."""
    mean, low, high = (float(row[name]) for name in ("mean", "low", "high"))
    number = f"{mean:.3g} {row['unit']}".strip()
    if row["kind"] == "exact":
        return f"{number}, exact"
    if int(row["seeds"]) < 2:
        return f"{number}, one seed"
    return f"{number} [{low:.3g}, {high:.3g}], {row['seeds']} seeds"


def between(text: str, name: str, body: str) -> str:
    """Put ``body`` between the markers ``<!-- name:begin -->`` and ``name:end``.

    Raises:
        ValueError: the markers are missing.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the markers {begin} and {end} are missing")
    return f"{head}{begin}\n{body}\n{end}{tail}"


def generated(root: Path = ROOT) -> dict[Path, str]:
    """Each generated file with the text it should hold."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    readme = between(readme, "methods", methods_markdown())
    if sources(root):
        readme = between(readme, "lessons", reading_path(root))
    judged = claims(root / "data/results")
    readme = between(readme, "claims", claims_markdown(judged))
    return {
        root / "README.md": readme,
        root / "METHODS.md": methods_page(root=root),
        root / "CLAIMS.md": claims_page(judged),
        root / "workbench" / "data" / "claims.csv": claims_csv(judged),
    }


def write(root: Path = ROOT) -> None:
    """Renew every generated file."""
    for path, text in generated(root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def stale(root: Path = ROOT) -> list[Path]:
    """The generated files that do not hold the text they should."""
    return [
        path
        for path, text in generated(root).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
