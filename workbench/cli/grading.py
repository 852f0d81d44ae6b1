"""`workbench grade`: run what students handed in, and write their points."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.common import Profile, fail, json_of, project

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def grade(
    submissions: Annotated[
        list[Path], typer.Argument(help="Notebooks, or folders of notebooks.")
    ],
    *,
    csv: Annotated[
        Path,
        typer.Option(
            "--csv", help="The table to write; an earlier table of marks is replaced."
        ),
    ],
    lesson: Annotated[
        list[str] | None,
        typer.Option(help="Grade only this lesson; may be repeated."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, help="Time of one notebook, start included.")
    ] = 300.0,
    memory: Annotated[
        str, typer.Option(help="Memory of one notebook, such as 800M or 4G.")
    ] = "4G",
    profile: Annotated[
        Profile, typer.Option(help="Size of the experiments in it.")
    ] = Profile.ci,
    as_json: Annotated[
        bool, typer.Option("--json", help="The rows as JSON; the rest goes to stderr.")
    ] = False,
) -> None:
    """Run students' notebooks one by one and write the points of each exercise.

    A submission is run in a process of its own with limits of time and memory, but with
    your rights: run strangers' notebooks as a user who owns nothing, in a container.
    """
    from workbench.classroom import edition, marks, warden
    from workbench.classroom import submissions as handed
    from workbench.core.errors import WorkbenchError
    from workbench.runner.build import SourceError

    limits = warden.Limits(seconds, _bytes(memory))
    root = project()
    try:
        marks.refuse_other(csv)
        chosen = {s.name: s.notebook for s in edition.chosen(root, lesson or [])}
        paths = handed.find(submissions)
    except (FileNotFoundError, SourceError, WorkbenchError) as error:
        fail(str(error))
    known = marks.lessons_tasks(chosen)
    if not known:
        fail("there are no exercises in these lessons")
    rows = []
    try:
        for number, path in enumerate(paths, 1):
            typer.echo(f"[{number}/{len(paths)}] {path}", err=True)
            one = handed.read(path, list(known), profile.value)
            done = warden.Outcome() if one.fault else warden.run(one.cells, limits)
            rows += marks.rows(one, done, known.get(one.lesson, []))
    finally:  # an interrupt costs the rest, not what is done
        marks.write_csv(csv, rows)
    for line in marks.summary(rows):
        typer.echo(line, err=as_json)
    typer.echo(f"{csv}: {len(rows)} rows of {len(paths)} notebooks", err=as_json)
    if as_json:
        typer.echo(json_of([asdict(row) for row in rows]))


def _bytes(text: str) -> int:
    """4G, 800M, 1.5 GB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)i?B?", text.strip(), re.I)
    size = float(found[1]) * UNITS[found[2].upper()] if found else 0
    if size < 2**28:
        raise typer.BadParameter(
            f"--memory is a size of at least 256M, such as 4G, not {text!r}"
        )
    return int(size)
