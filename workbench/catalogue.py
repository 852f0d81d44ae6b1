"""The methods, collected from their cards: tables, METHODS.md, generic tests.

Nothing is registered by hand. Every module below ``workbench.methods`` with a ``card``
is a method. ``python -m workbench.catalogue --write`` renews METHODS.md and the tables
of README.md, ``--check`` tells whether they are up to date.
"""

import argparse
import csv
import dataclasses
import html
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import workbench
from workbench.core.card import Card

ROOT = Path(workbench.__file__).resolve().parent.parent
FAMILIES = {
    "supervised": "Supervised",
    "reward": "Reward models",
    "offline": "Offline preference optimisation",
    "online": "Online policy gradients",
    "games": "Games and self-play",
    "values": "Values and planning",
    "decoding": "Decoding",
}
# a method is used through one of these; a loop or a sampler calls it
ENTRY_POINTS = ("loss", "log_law", "next_token_logits", "backup")
HEADINGS = (
    ("Objective", r"^Objective:"),
    ("Compared with", r"^Compared with [^\n:]+:"),
    ("Valid only if", r"^Valid only if:"),
    ("Minimiser or Fixed point", r"^(Minimiser|Fixed point):"),
    ("Known mistakes", r"^Known mistakes:"),
)
_NUMBERED = re.compile(r"(?:(?<=\s)|^)\((\d+)\)\s+")


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    for name in sorted(info.name for info in found):
        yield importlib.import_module(name)


def methods(package: ModuleType | None = None) -> dict[str, ModuleType]:
    """Every method module by its key, by family and then by notebook.

    Args:
        package: where to look; ``workbench.methods`` unless told.

    Raises:
        ValueError: two modules share a key.
    """
    package = package or importlib.import_module("workbench.methods")
    order = list(FAMILIES)
    found: dict[str, ModuleType] = {}
    for module in _modules(package):
        card = vars(module).get("card")
        if not isinstance(card, Card):
            continue
        if card.key in found:
            there = found[card.key].__name__
            raise ValueError(f"key {card.key} is in {there} and {module.__name__}")
        found[card.key] = module

    def place(module: ModuleType) -> tuple[int, str, str]:
        family = module.card.family
        rank = order.index(family) if family in order else len(order)
        return rank, module.card.notebook, module.__name__

    return {m.card.key: m for m in sorted(found.values(), key=place)}


def section(module: ModuleType, heading: str) -> str:
    """The text below one heading of a method's docstring, on one line.

    Args:
        module: a method.
        heading: how the heading begins, e.g. ``"Objective"`` or ``"Compared with"``.
    """
    doc = inspect.getdoc(module) or ""
    found = [m for _, pattern in HEADINGS for m in re.finditer(pattern, doc, re.M)]
    found.sort(key=lambda match: match.start())
    for place, match in enumerate(found):
        if match.group().startswith(heading):
            after = found[place + 1].start() if place + 1 < len(found) else len(doc)
            return " ".join(doc[match.end() : after].split())
    return ""


def known_mistakes(module: ModuleType) -> dict[int, str]:
    """The numbered mistakes of a method's docstring: number to sentence."""
    parts = _NUMBERED.split(section(module, "Known mistakes"))
    numbers, texts = parts[1::2], parts[2::2]
    return {int(n): text.strip(" .;,") for n, text in zip(numbers, texts, strict=True)}


def problems(module: ModuleType) -> list[str]:
    """What is missing from a method's module, in sentences; empty if nothing is."""
    held, card = vars(module), module.card
    *_, family, name = ("", *module.__name__.split("."))
    found = [*_skeleton_problems(module), *_mistake_problems(module)]
    if card.key != name:
        found.append(f"the card's key {card.key!r} is not the module's name {name!r}")
    if card.family != family:
        found.append(f"the card's family {card.family!r} is not the folder {family!r}")
    empty = [f for f in ("title", "paper", "check", "claim") if not getattr(card, f)]
    found += [f"the card's {field} is empty" for field in empty]
    config = held.get("Config")
    if not (dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen):
        found.append("there is no frozen dataclass Config")
    if not any(callable(held.get(entry)) for entry in ENTRY_POINTS):
        found.append(f"it defines none of {', '.join(ENTRY_POINTS)}")
    return [f"{module.__name__}: {problem}" for problem in found]


def _skeleton_problems(module: ModuleType) -> list[str]:
    doc = inspect.getdoc(module) or ""
    places = [
        (title, match.start() if (match := re.search(pattern, doc, re.M)) else None)
        for title, pattern in HEADINGS
    ]
    missing = [title for title, place in places if place is None]
    if missing:
        return [f"the docstring has no heading {title!r}" for title in missing]
    starts = [place for _, place in places]
    if starts != sorted(starts):
        return ["the headings of the docstring are out of order"]
    if not doc[: starts[0]].strip():
        return ["the docstring does not begin with one line on the method"]
    return []


def _mistake_problems(module: ModuleType) -> list[str]:
    numbers = list(known_mistakes(module))
    found = []
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        found.append(f"the known mistakes are numbered {numbers}")
    if not {"loss", "mistakes"} & set(vars(module)):
        return found
    runnable = [
        int(m.group()) if (m := re.match(r"\d+", key)) else key
        for key in vars(module).get("mistakes", {})
    ]
    if runnable != numbers:
        found.append(f"mistakes has {runnable}, the docstring numbers {numbers}")
    return found


def entry_point(module: ModuleType) -> str:
    """The name of what a method is used through: its loss, law, logits or backup."""
    return next(name for name in ENTRY_POINTS if name in vars(module))


def all_problems(found: dict[str, ModuleType] | None = None) -> list[str]:
    """The problems of every method, and parents that no card has."""
    found = methods() if found is None else found
    listed = [problem for module in found.values() for problem in problems(module)]
    for key, module in found.items():
        strangers = [p for p in module.card.parents if p not in found]
        listed += [f"{key}: no method has its parent's key {p!r}" for p in strangers]
    return listed


def table(found: dict[str, ModuleType] | None = None) -> list[dict[str, str]]:
    """One row a method, every field as text."""
    rows = []
    for module in (methods() if found is None else found).values():
        row = {
            name: ", ".join(value) if isinstance(value, tuple) else str(value)
            for name, value in dataclasses.asdict(module.card).items()
        }
        rows.append(row | {"module": module.__name__})
    return rows


def claims(results: Path | None = None) -> list[dict[str, str]]:
    """The rows of every ``claims.csv`` below the results folder, by notebook."""
    rows = []
    for path in sorted((results or ROOT / "data" / "results").glob("*/claims.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows += [
                row | {"notebook": path.parent.name} for row in csv.DictReader(file)
            ]
    return rows


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
    """The method table of the README."""
    header = ("Method", "Family", "Needs", "Paper", "Notebook")
    return _markdown(
        header,
        (
            [
                f"[`{r['key']}`](METHODS.md#{r['key']}) {_cell(r['title'])}",
                *(
                    _cell(r[field])
                    for field in ("family", "needs", "paper", "notebook")
                ),
            ]
            for r in (table() if rows is None else rows)
        ),
    )


def claims_markdown(rows: list[dict[str, str]] | None = None) -> str:
    """The claims table of the README, with the count of each verdict above it."""
    rows = claims() if rows is None else rows
    if not rows:
        return "No claim has been judged yet."
    verdicts = [row["verdict"] for row in rows]
    counts = ", ".join(
        f"{verdicts.count(v)} {v}" for v in sorted(set(verdicts), key=verdicts.index)
    )
    header = ("Notebook", "Claim", "Expected", "Seen (95 % interval)", "Verdict")
    body = (
        [
            _cell(row["notebook"][:2]),
            _cell(f"{row['statement']} ({row['paper']})"),
            _cell(row["expected"]),
            _cell(_seen(row)),
            f"*{row['verdict']}*",
        ]
        for row in rows
    )
    return f"{len(rows)} claims judged: {counts}.\n\n{_markdown(header, body)}"


def _seen(row: dict[str, str]) -> str:
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
    readme = between(readme, "claims", claims_markdown(claims(root / "data/results")))
    return {root / "README.md": readme, root / "METHODS.md": methods_page()}


def stale(root: Path = ROOT) -> list[Path]:
    """The generated files that do not hold the text they should."""
    return [
        path
        for path, text in generated(root).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Write or check the generated files; without an option, list the methods."""
    parser = argparse.ArgumentParser(prog="python -m workbench.catalogue")
    parser.add_argument("--write", action="store_true", help="renew the tables")
    parser.add_argument("--check", action="store_true", help="fail if they are stale")
    asked = parser.parse_args(arguments)
    listed = all_problems()
    for problem in listed:
        print(problem, file=sys.stderr)
    if asked.write and not listed:
        for path, text in generated().items():
            path.write_text(text, encoding="utf-8")
    old = stale() if asked.check else []
    for path in old:
        print(f"{path.name} is stale: run --write", file=sys.stderr)
    if not (asked.write or asked.check):
        for row in table():
            print(f"{row['key']:14} {row['family']:11} {row['title']}")
    return 1 if listed or old else 0


if __name__ == "__main__":
    raise SystemExit(main())
