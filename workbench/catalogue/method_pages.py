"""The methods as Markdown: METHODS.md, and the table of README.md."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from workbench.catalogue.clone import ROOT, sources
from workbench.catalogue.collect import entry, methods, table
from workbench.catalogue.index import FAMILIES, Entry, group_title
from workbench.catalogue.markdown import cell, grid
from workbench.catalogue.settings import Setting, settings

OPENING = (
    "# Methods",
    "",
    "Generated from the cards by `python -m workbench.catalogue --write`; edit the "
    "cards.",
    "",
    "*Learns from* is what a loss reads, and *Trained by* the loop that calls it. "
    "*Settings* hold each default and, in brackets, where it comes from. *Known "
    "mistakes* are wrong versions of the method; the checks of its lesson name them.",
)


def methods_markdown(rows: list[dict[str, str]] | None = None) -> str:
    """The methods of the README: one row per group, each method with a link."""
    groups: dict[str, list[str]] = {}
    for row in table() if rows is None else rows:
        link = f"[`{row['key']}`](METHODS.md#{row['key']})"
        groups.setdefault(row["family"], []).append(link)
    tops = [family.partition("/")[0] for family in groups]
    count = dict.fromkeys(tops, 0)
    for top, links in zip(tops, groups.values(), strict=True):
        count[top] += len(links)
    body = []
    for place, (family, links) in enumerate(groups.items()):
        top, group = tops[place], group_title(family)
        # a family is named in its first row only
        first = top not in tops[:place]
        named = f"{cell(FAMILIES.get(top, top))} ({count[top]})" if first else ""
        title = f"{cell(group)} ({len(links)})" if group else ""
        body.append((named, title, ", ".join(links)))
    return grid(("Family", "Group", "Methods"), body)


def methods_page(found: dict[str, ModuleType] | None = None, root: Path = ROOT) -> str:
    """The text of METHODS.md.

    Args:
        found: the methods by key; all unless told.
        root: the clone whose notebooks the page links to.
    """
    lesson = {path.stem.partition("_")[0]: path.stem for path in sources(root)}
    lines, before = list(OPENING), ("", "")
    for module in (methods() if found is None else found).values():
        method = entry(module)
        top, group = method.family.partition("/")[0], group_title(method.family)
        if top != before[0]:
            lines += ["", f"## {cell(FAMILIES.get(top, top))}"]
        if group and (top, group) != before:
            lines += ["", f"### {cell(group)}"]
        before = top, group
        lines += ["", f"{'####' if group else '###'} {method.card.key}", ""]
        lines += _told(method, module, lesson)
    return "\n".join(lines) + "\n"


def _told(method: Entry, module: ModuleType, lesson: dict[str, str]) -> Iterator[str]:
    """The lines of one method, below its heading."""
    card, path = method.card, method.module.replace(".", "/") + ".py"
    yield f"**{cell(card.title)}** · {cell(card.paper)} · [`{path}`]({path})"
    yield ""
    yield _line("Objective", method.objective)
    difference = cell(method.section("Compared with"))
    yield f"- *Compared with* {_compared(method)}: {difference}"
    if kind := _kind(module):
        yield _line("Learns from", kind)
    yield f"- *Trained by*: {_loop(method, module)}"
    yield _line("Needs", ", ".join(card.needs))
    yield _line("Valid only if", method.section("Valid only if"))
    rest = method.rests_at
    yield _line(rest, method.section(rest))
    yield _line("Exact check", card.check)
    yield "- *Known mistakes*:"
    yield from (f"  {n}. {cell(text)}" for n, text in method.mistakes.items())
    yield from _settings(settings(method.module))
    yield _line("Claim", card.claim)
    yield f"- *Lesson*: {_lesson(card.notebook, lesson)}"


def _line(label: str, text: str) -> str:
    return f"- *{label}*: {cell(text)}"


def _compared(method: Entry) -> str:
    """The parents as links; where there is none, what the docstring compares with."""
    links = ", ".join(f"[`{key}`](#{key})" for key in method.card.parents)
    return links or cell(method.compared)


def _kind(module: ModuleType) -> str:
    """What its loss reads, in a user's words; empty if it has no loss."""
    from workbench.feedback.kind import batch_class, kind_of  # imports torch

    return kind_of(batch_class(module.loss)).name if "loss" in vars(module) else ""


def _loop(method: Entry, module: ModuleType) -> str:
    if method.loop:
        return f"[`{method.loop}`](workbench/loops/{method.loop}.py)"
    return "no loop" if "loss" in vars(module) else "nothing is trained"


def _settings(told: tuple[Setting, ...]) -> Iterator[str]:
    yield "- *Settings*:" if told else "- *Settings*: none"
    for each in told:
        default = "required" if each.required else f"= {each.default}"
        source = f" ({each.source})" if each.source else ""
        meaning = f": {each.meaning}" if each.meaning else ""
        yield f"  - `{each.name}` {cell(f'{default}{source}{meaning}')}"


def _lesson(number: str, lesson: dict[str, str]) -> str:
    if number not in lesson:
        return cell(number)
    name = lesson[number]
    return f"[{cell(name.replace('_', ' '))}](notebooks/{name}.ipynb)"
