"""`workbench compare-runs`: several audits and trainings side by side."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.common import fail, json_of


def compare_runs(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Folders of workbench audit and workbench train."
        ),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for runs.csv, live figures and report.html."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option(help="Delete what an earlier comparison made in --out.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="The numbers as JSON; the rest goes to stderr."),
    ] = False,
) -> None:
    """Lay runs side by side: accuracy, margins, drift, length and what was logged."""
    from workbench.core import outputs
    from workbench.core.errors import WorkbenchError

    if overwrite and out is None:
        fail("--overwrite goes with --out")
    try:
        from workbench.experiment import compared_report, compared_runs

        command = compared_report.command_of(folders)
        if out is not None:
            outputs.check(out, command, overwrite=overwrite)
        runs = compared_runs.read(folders)
        for note in compared_runs.notes(runs):
            typer.echo(note, err=as_json)
        if as_json:
            typer.echo(json_of(compared_runs.long_table(runs)))
        else:
            _show(compared_runs.wide_table(runs))
        if out is not None:
            folder = compared_report.write(runs, command, out, overwrite)
            typer.echo(f"written to {folder}", err=as_json)
    except WorkbenchError as error:
        fail(str(error))


def _show(table) -> None:
    """A table for a terminal; aligned plain text for a pipe."""
    if not sys.stdout.isatty():
        typer.echo(table.to_string(index=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None)
    for name in table.columns:
        shown.add_column(Text(str(name)))
    for row in table.itertuples(index=False):
        shown.add_row(*(Text(str(cell)) for cell in row))
    Console().print(shown)
