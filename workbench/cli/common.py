"""What the commands share: enumerations, error exits, and finding the clone."""

import json
import math
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

import typer


class Profile(StrEnum):
    """How large the notebooks' experiments are."""

    ci = "ci"
    lecture = "lecture"
    figure = "figure"


def fail(message: str) -> NoReturn:
    """Say what is wrong on stderr, and exit with status 1."""
    typer.echo(message, err=True)
    raise typer.Exit(1)


def check_file(path: Path | None) -> None:
    """Exit if a preference file has no name that can be read; before torch is there."""
    from workbench.core.errors import BadFile
    from workbench.feedback.rows import check_extension

    try:
        if path is not None:
            check_extension(path)
    except BadFile as error:
        fail(str(error))


def columns_of(text: str | None) -> dict[str, str]:
    """What --columns says: our name of a column → the file's.

    Raises:
        BadParameter: a part of it names nothing.
    """
    named = [part for part in (text or "").split(",") if part]
    if any("=" not in part for part in named):
        raise typer.BadParameter("--columns takes name=column,name=column")
    return dict(part.split("=", 1) for part in named)


def fetched(name: str, echo: Callable[[str], object], to: Path | None = None) -> Path:
    """The folder of a model of the hub; it is said where that is.

    Raises:
        WorkbenchError: it cannot be had.
    """
    from workbench.models import hub

    folder = hub.fetch(name, to)
    echo(f"{name} of the Hugging Face hub is in {folder}")
    return folder


def project() -> Path:
    """The clone that this command is run in."""
    from workbench.runner.series import find_root

    try:
        return find_root()
    except FileNotFoundError as error:
        fail(str(error))


def json_of(value: Any) -> str:
    """Tables, lists and dictionaries as JSON; a table is a list with an object per row.

    What is missing is null, an infinite number the text "inf" or "-inf".
    """
    # an encoding without Greek letters must not break the output
    narrow = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    return json.dumps(_plain(value), ensure_ascii=narrow, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):  # a table of pandas, which is not imported here
        value = value.to_dict("records")
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def complete_method(begun: str) -> list[str]:
    """Keys of methods that a shell can go on with; nothing heavy is imported."""
    from workbench.catalogue import cards

    return [key for key in cards() if key.startswith(begun)]


def complete_lesson(begun: str) -> list[str]:
    """Names of lessons, which begin with their numbers, in the same way."""
    from workbench.catalogue import cards
    from workbench.catalogue.select import known_lessons

    return sorted(n for n in known_lessons(cards()) if n.startswith(begun))


def complete_either(begun: str) -> list[str]:
    """Methods, then lessons."""
    return complete_method(begun) + complete_lesson(begun)
