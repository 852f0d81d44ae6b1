"""`workbench student`: the lessons as a teacher hands them out."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.common import fail, project


class Format(StrEnum):
    """Who reads the edition."""

    plain = "plain"
    nbgrader = "nbgrader"
    otter = "otter"


def student(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The folder to write; it is made."),
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="LESSON", help="As --lessons."),
    ] = None,
    *,
    lessons: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these: numbers, names or ranges such as 20-29, and studies by "
            "their number, 20a. All lessons and no studies if none is named."
        ),
    ] = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="plain is ready for students; nbgrader and otter are the teacher's "
            "version, from which that program makes the student's.",
        ),
    ] = Format.plain,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace files of the edition that were changed."
        ),
    ] = False,
) -> None:
    """Write lessons without solutions and outputs, to hand out."""
    from workbench.classroom import edition
    from workbench.core.errors import WorkbenchError
    from workbench.runner.build import SourceError

    root = project()
    try:
        chosen = edition.chosen(root, [*(lessons or []), *(more or [])])
        files = _files(form, root, chosen)
        edition.write(folder, files, overwrite)
    except (FileNotFoundError, SourceError, WorkbenchError) as error:
        fail(str(error))
    typer.echo(f"{folder}: {len(chosen)} lessons, {form.value}")


def _files(form: Format, root: Path, chosen: list) -> dict[str, bytes]:
    from workbench.classroom import edition

    if form is Format.plain:
        return edition.plain_files(root, chosen)
    from workbench.classroom import exports

    make = {Format.nbgrader: exports.nbgrader_files, Format.otter: exports.otter_files}
    return make[form](root, chosen)
