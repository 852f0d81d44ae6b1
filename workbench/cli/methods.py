"""`workbench methods`: what there is to train, and all that is known of one method.

The cards are read off the files: no method, and so no torch, is imported.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.catalogue import (
    Entry,
    card_fields,
    cards,
    chosen,
    describe,
    family_names,
    family_title,
    method,
    near_methods,
    wanted,
)
from workbench.catalogue.index import plain
from workbench.catalogue.lessons import lesson_number
from workbench.catalogue.select import known_lessons, of_lesson
from workbench.cli.common import complete_either, fail, json_of
from workbench.core.errors import BadOption, printable

WIDTH = 88  # columns of text that is written to no terminal
MARGIN = 16  # columns of a card's labels
Names = list[str] | None


def methods(
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="[METHOD|LESSON]",
            help="Show one method in full, or list those of a lesson.",
            autocompletion=complete_either,
        ),
    ] = None,
    family: Annotated[
        Names,
        typer.Option(help="Of this family or group, e.g. direct or links; repeatable."),
    ] = None,
    needs: Annotated[
        Names, typer.Option(help="That needs this, e.g. pairs; all if repeated.")
    ] = None,
    lesson: Annotated[
        Names, typer.Option(help="Trained in this lesson: 21, 21_links or links.")
    ] = None,
    text: Annotated[
        str, typer.Option(help="With this in key, title, objective or paper.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the methods, or show one in full."""
    try:
        entries = cards()
    except (SyntaxError, ValueError) as error:
        fail(f"the methods cannot be listed: {printable(error)}")
    filtered = bool(family or needs or lesson or text)
    found = method(which, entries) if which is not None else None
    if found and filtered:
        fail(f"{found.card.key} is one method: leave out the filters, or its name")
    if found:
        told = describe(found, entries)
        typer.echo(json_of(told) if as_json else "\n".join(_card(told, entries)))
        return
    number = None if which is None else _lesson_asked(which, entries)
    known = {k: e for k, e in entries.items() if number is None or of_lesson(e, number)}
    try:
        asked = wanted(entries, family or (), needs or (), lesson or (), text)
    except BadOption as error:
        fail(str(error))
    rows = chosen(known, asked)
    of = f"lesson {number}" if number else ""
    if as_json:
        typer.echo(json_of([card_fields(entry) for entry in rows.values()]))
    elif rows:
        _list(rows)
    if not rows:
        fail("no method fits: " + ", ".join(filter(None, (of, str(asked)))))


def _lesson_asked(word: str, entries: Mapping[str, Entry]) -> str:
    folder = family_names(entries).get(plain(word))
    # the last part of a group may be a lesson's name, too
    group = folder is not None and "/" in word
    number = None if group else lesson_number(word, known_lessons(entries))
    if number is None:
        near = near_methods(word, entries)
        if folder is not None:
            near = f"; did you mean --family {folder}?"
        many = f"workbench methods lists all {len(entries)}"
        message = f"no method or lesson {printable(repr(word), 80)}{near}"
        fail(f"{message} {many}" if near else f"{message}; {many}")
    return number


# ---- the list ---------------------------------------------------------------------


def _list(rows: Mapping[str, Entry]) -> None:
    """A table for a terminal; aligned plain text, one line per method, for a pipe."""
    if sys.stdout.isatty():
        _table(rows)
        return
    entries = rows.values()
    key = max(len(entry.card.key) for entry in entries)
    family = max(len(entry.family) for entry in entries)
    lesson = max(len(entry.card.notebook) for entry in entries)
    title = max(len(entry.card.title) for entry in entries)
    for card, folder in ((entry.card, entry.family) for entry in entries):
        start = f"{card.key:<{key}}  {folder:<{family}}  {card.notebook:<{lesson}}"
        typer.echo(f"{start}  {card.title:<{title}}  {', '.join(card.needs)}")


def _table(rows: Mapping[str, Entry]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    key = max(len(name) for name in rows)
    families = dict.fromkeys(entry.family for entry in rows.values())
    for number, family in enumerate(families):
        title = Text(family_title(family), style="bold")
        table = Table(title=title, title_justify="left", box=None, expand=True)
        table.show_header = not number
        table.add_column("Method", style="cyan", width=key)
        table.add_column("Lesson", width=6)
        table.add_column("Title", ratio=3)
        table.add_column("Needs", ratio=2, style="green")
        for card in (e.card for e in rows.values() if e.family == family):
            needs = ", ".join(card.needs)
            table.add_row(*map(Text, (card.key, card.notebook, card.title, needs)))
        console.print(table, "")
    console.print(f"workbench methods {next(iter(rows))} tells more of one")


# ---- one method -------------------------------------------------------------------


def _card(told: Mapping[str, Any], entries: Mapping[str, Entry]) -> Iterator[str]:
    """The lines of one method in full."""
    terminal = sys.stdout.isatty()
    size = shutil.get_terminal_size().columns if terminal else WIDTH
    width = max(MARGIN + 24, min(size, WIDTH))
    yield typer.style(f"{told['key']} · {told['title']}", bold=True)
    for label, paragraphs in _facts(told, entries):
        lines = [line for text in paragraphs for line in _wrapped(text, width)]
        yield ""
        for number, line in enumerate(lines):
            head = typer.style(f"{label:<{MARGIN}}", fg="cyan") if not number else ""
            yield f"{head or ' ' * MARGIN}{line}"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width - MARGIN, subsequent_indent="  ", break_on_hyphens=False
    ) or [""]


def _facts(
    told: Mapping[str, Any], entries: Mapping[str, Entry]
) -> Iterator[tuple[str, list[str]]]:
    """Label and paragraphs, in the order of a card."""
    parents = [
        f"{key} ({entries[key].card.title})" if key in entries else key
        for key in told["parents"]
    ]
    compared = ": ".join(filter(None, (", ".join(parents), told["compared_with"])))
    yield "Family", [f"{told['family']}: {family_title(told['family'])}"]
    yield "Paper", [told["paper"]]
    yield "Needs", [", ".join(told["needs"])]
    yield "Trained by", [told["loop"] or "no loop"]
    yield "Objective", [told["objective"]]
    yield "Compared with", [compared or "no other method"]
    yield "Valid only if", [told["valid_only_if"]]
    yield told["rests_at"]["heading"], [told["rests_at"]["text"]]
    yield (
        "Known mistakes",
        [f"({each['number']}) {each['mistake']}" for each in told["known_mistakes"]],
    )
    yield "Settings", [_setting(each) for each in told["settings"]] or ["none"]
    yield "Exact check", [told["check"]]
    yield "Claim", [told["claim"]]
    yield "Lesson", _lesson(told["lesson"])
    yield "Judged claims", _claims(told)


def _setting(each: Mapping[str, Any]) -> str:
    default = "required" if each["required"] else f"= {each['default']}"
    source = f" [{each['source']}]" if each["source"] else ""
    meaning = f": {each['meaning']}" if each["meaning"] else ""
    return f"{each['name']} {default}{source}{meaning}"


def _lesson(lesson: Mapping[str, Any]) -> list[str]:
    if lesson["notebook"] is None:
        return [f"{lesson['name']}, in a clone of workbench"]
    path, here = Path(lesson["notebook"]), Path.cwd()
    shown = os.path.relpath(path, here) if path.is_relative_to(here) else path
    return [f"{lesson['number']}: {shown}"]


def _claims(told: Mapping[str, Any]) -> list[str]:
    judged = told["lesson"]["claims"]
    if told["claims"]:
        return [
            f"{claim['verdict']}: {claim['statement']} ({claim['paper']}) "
            f"Seen: {claim['seen']}."
            for claim in told["claims"]
        ]
    if not judged:
        return ["none yet"]
    return [f"none of this method alone; its lesson has judged {judged}"]
