"""`workbench slides`: a lesson to project."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.common import fail, project


def slides(
    lesson: Annotated[str, typer.Argument(help="Its number or name, such as 20.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write; build/slides/NAME.html if not given."),
    ] = None,
) -> None:
    """Write a published lesson as one HTML file of slides, and print its address.

    Arrow keys move: left and right from heading to heading, up and down through what
    stands below one. The file loads nothing, so it can be carried anywhere.
    """
    from workbench.classroom import slides as decks
    from workbench.core.errors import WorkbenchError
    from workbench.runner import series
    from workbench.runner.build import SourceError

    root = project()
    try:
        found = series.select(root, [lesson])
        if len(found) != 1:
            raise FileNotFoundError(f"{lesson!r} is several lessons: name one of them")
        written = decks.write(root, found[0], out)
    except (FileNotFoundError, SourceError, WorkbenchError) as error:
        fail(str(error))
    typer.echo(written.resolve().as_uri())
