"""METHODS.md, CLAIMS.md and the tables of README.md, made from cards and verdicts."""

import csv
import html
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import workbench
from workbench.catalogue.collect import methods, section, table
from workbench.catalogue.index import FAMILIES

ROOT = Path(workbench.__file__).resolve().parent.parent
SHIPPED = files("workbench") / "data" / "claims.csv"


def is_clone(root: Path) -> bool:
    """Whether a folder is a clone, which has lessons beside the package."""
    return (root / "notebooks" / "src").is_dir()


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
    return rows


def claims_csv(rows: list[dict[str, str]]) -> str:
    """All rows of ``claims`` as one CSV text, for the package to ship."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cell(text: object) -> str:
    """Text that cannot break a Markdown table or bring markup of its own."""
    flat = html.escape(" ".join(str(text).split()), quote=False)
    parts = re.split(r"(`+[^`]+`+)", flat.replace("|", "\\|"))
    # inside a code span a backslash would be shown
    plain = [re.sub(r"([*_])", r"\\\1", part) for part in parts[::2]]
    parts[::2] = plain
    return "".join(parts)


def _markdown(header: tuple[str, ...], rows: Iterable[Iterable[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def methods_markdown(rows: list[dict[str, str]] | None = None) -> str:
    """The methods of the README: a row a family, each method a link to its entry."""
    families: dict[str, list[str]] = {}
    for row in table() if rows is None else rows:
        link = f"[`{row['key']}`](METHODS.md#{row['key']})"
        families.setdefault(row["family"], []).append(link)
    body = (
        (f"{FAMILIES.get(family, family)} ({len(links)})", ", ".join(links))
        for family, links in families.items()
    )
    return _markdown(("Family", "Methods"), body)


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
    return f"{_counts(rows)}\n\n{_markdown(header, body)}"


def _counts(rows: list[dict[str, str]]) -> str:
    verdicts = [row["verdict"] for row in rows]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
    return f"{len(rows)} claims judged: {counts}."


def claims_page(rows: list[dict[str, str]] | None = None) -> str:
    """The text of CLAIMS.md: every claim with what was seen."""
    rows = claims() if rows is None else rows
    header = ("Notebook", "Claim", "Expected", "Seen (95 % interval)", "Verdict")
    body = (
        [
            _cell(row["notebook"][:2]),
            _cell(f"{row['statement']} ({row['paper']})"),
            _cell(row["expected"]),
            _cell(seen(row)),
            f"*{row['verdict']}*",
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
        "",
        _markdown(header, body),
    )
    return "\n".join(lines) + "\n"


def seen(row: Mapping[str, Any]) -> str:
    """What a judged claim's effect was: mean, unit, 95 % interval, seeds."""
    mean, low, high = (float(row[name]) for name in ("mean", "low", "high"))
    number = f"{mean:.3g} {row['unit']}".strip()
    if row["kind"] == "exact":
        return f"{number}, exact"
    if int(row["seeds"]) < 2:
        return f"{number}, one seed"
    return f"{number} [{low:.3g}, {high:.3g}], {row['seeds']} seeds"


def methods_page(found: dict[str, ModuleType] | None = None) -> str:
    """The text of METHODS.md."""
    found = methods() if found is None else found
    lines = [
        "# Methods",
        "",
        "Generated from the cards by `python -m workbench.catalogue --write`; "
        "edit the cards.",
    ]
    family = None
    for module in found.values():
        if module.card.family != family:
            family = module.card.family
            lines += ["", f"## {FAMILIES.get(family, family)}"]
        lines += ["", *_entry(module)]
    return "\n".join(lines) + "\n"


def _entry(module: ModuleType) -> Iterator[str]:
    """The lines of one method in METHODS.md."""
    card = module.card
    path = module.__name__.replace(".", "/") + ".py"
    parents = ", ".join(f"[`{p}`](#{p})" for p in card.parents)
    change = section(module, "Compared with") or "—"
    yield f"### {card.key}"
    yield ""
    yield f"**{_cell(card.title)}** · {_cell(card.paper)} · [`{path}`]({path})"
    yield ""
    yield f"- *Objective*: {_cell(section(module, 'Objective'))}"
    if parents:
        yield f"- *Compared with* {parents}: {_cell(change)}"
    yield f"- *Needs*: {_cell(', '.join(card.needs))}"
    yield f"- *Valid only if*: {_cell(section(module, 'Valid only if'))}"
    yield f"- *Exact check*: {_cell(card.check)}"
    yield f"- *Claim*: {_cell(card.claim)}"
    yield f"- *Notebook*: {_cell(card.notebook)}"


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
    judged = claims(root / "data/results")
    readme = between(readme, "claims", claims_markdown(judged))
    return {
        root / "README.md": readme,
        root / "METHODS.md": methods_page(),
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
