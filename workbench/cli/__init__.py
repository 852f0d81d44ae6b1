"""The command line: `workbench run | lab | methods | train | compare | audit | site`.

A teacher has `student | grade | slides`.

Each command has a module, and imports everything heavy inside its function.
"""

import sys
from typing import Annotated

import typer

import workbench
from workbench.cli import (
    auditing,
    compare,
    comparing_runs,
    fetching,
    grading,
    lab,
    methods,
    notebooks,
    projecting,
    sweeping,
    teachers,
    train,
)
from workbench.core import ending, notes

app = typer.Typer(
    help="Preference optimisation and RLHF compared with exact answers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    notebooks.run,
    methods.methods,
    train.train,
    compare.compare,
    auditing.audit,
    fetching.model,
    comparing_runs.compare_runs,
    notebooks.site,
    teachers.student,
    grading.grade,
    projecting.slides,
):
    app.command()(command)
app.command(context_settings=lab.SETTINGS)(lab.lab)
app.command(context_settings=sweeping.SETTINGS)(sweeping.sweep)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"workbench {workbench.__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which."),
    ] = False,
) -> None:
    """Preference optimisation and RLHF compared with exact answers."""


def main() -> None:
    """Entry point of the `workbench` command."""
    ending.raise_on_signals()
    notes.listen()
    for stream in (sys.stdout, sys.stderr):
        # a terminal without Greek letters shows their codes
        stream.reconfigure(errors="backslashreplace")
    status = 0
    try:
        app()
    except SystemExit as error:
        status = error.code
    except KeyboardInterrupt:
        status = 130
    except OSError as error:
        ending.say(f"workbench: {_told(error)}")
        status = 1
    _tell_notes()
    sys.exit(ending.status(status))


def _told(error: OSError) -> str:
    """An error of the operating system in one line: what, and with which file."""
    from workbench.core.errors import printable

    what = error.strerror or str(error) or type(error).__name__
    return printable(f"{error.filename}: {what}" if error.filename else what)


def _tell_notes() -> None:
    """Other packages' warnings, once, at the end."""
    texts = notes.kept()
    if texts:
        ending.say(f"{len(texts)} note(s) from other packages, no fault of this run:")
    for text in texts:
        ending.say(f"  {text}")
