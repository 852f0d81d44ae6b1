"""`workbench lab`: JupyterLab on working copies of the lessons."""

import os
import sys
from typing import Annotated

import typer

from workbench.cli.common import fail, project

# what follows the lessons is Jupyter's, with or without `--` before it
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}
ALL = "all"
AS_ROOT = "You are root, for whom Jupyter refuses to start: --allow-root is added."


def lab(
    lessons: Annotated[
        list[str] | None,
        typer.Argument(
            help="The lesson to open first, such as 20; then options of Jupyter, such "
            "as --no-browser or --port 9999."
        ),
    ] = None,
    *,
    fresh: Annotated[
        list[str] | None,
        typer.Option(
            help="Put this lesson's copy back to the lesson, keeping yours under "
            "another name; may be repeated, or 'all'."
        ),
    ] = None,
) -> None:
    """Open JupyterLab on your own copies of the lessons, in work/."""
    from workbench.core.errors import WorkbenchError
    from workbench.runner import lab_server as jupyter
    from workbench.runner import workspace

    root = project()
    wanted, options = _split(lessons or [])
    try:
        first = _names(wanted) if wanted else []
        space = workspace.renew(root, _names(fresh or []))
    except (FileNotFoundError, WorkbenchError) as error:
        fail(str(error))
    for line in space.told:
        typer.echo(line)
    opened = next((name for name in first or space.ready if name in space.ready), None)
    if opened is None and space.ready:
        typer.echo(f"{first[0]} cannot be opened; the others are in the file browser")
    jupyter.lay_out(space.folder)
    if jupyter.is_root():
        typer.echo(AS_ROOT)
    sys.stdout.flush()
    os.execve(
        sys.executable, jupyter.command(space.folder, opened, options),
        jupyter.environment(root),
    )  # fmt: skip


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Lessons, and Jupyter's options: all from the first dash on."""
    dashes = (at for at, text in enumerate(arguments) if text.startswith("-"))
    at = next(dashes, len(arguments))
    return arguments[:at], arguments[at:]


def _names(lessons: list[str]) -> list[str]:
    """Lessons' names from what a user calls them; `all` is every one."""
    from workbench.runner import series

    if not lessons:
        return []
    chosen = [] if ALL in lessons else lessons
    return [path.stem for path in series.select(project(), chosen)]
