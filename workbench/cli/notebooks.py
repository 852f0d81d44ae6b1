"""`workbench run | site`: the notebooks of a clone."""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.common import Profile, complete_lesson, fail, json_of, project
from workbench.core import ending


def run(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Numbers, names or paths; all if none is given.",
            autocompletion=complete_lesson,
        ),
    ] = None,
    *,
    profile: Annotated[Profile, typer.Option(help="Size.")] = Profile.lecture,
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks at a time.")] = 2,
    force: Annotated[bool, typer.Option(help="Execute what is unchanged too.")] = False,
    publish: Annotated[
        bool, typer.Option(help="Commit-ready copies into notebooks/ (lecture only).")
    ] = False,
    site: Annotated[
        bool, typer.Option(help="Build the site first, and again at the end.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="DEVICE for the notebooks, such as cuda.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="SEED for the notebooks.")] = None,
    memory: Annotated[
        float, typer.Option(min=0.1, help="GB that one notebook may hold.")
    ] = 8.0,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="An object per notebook as JSON; the rest goes to stderr."
        ),
    ] = False,
) -> None:
    """Execute notebooks, judge them, and keep the executed copies in build/PROFILE.

    A notebook is named by its number (2 is 02), a range (20-29), its name (20_dpo or
    dpo) or a path. What is unchanged since it last passed is not executed again, so a
    call that was stopped goes on where it was.
    """
    from workbench.core.claimed import claimed
    from workbench.core.errors import WorkbenchError
    from workbench.runner import build, job, series, speed

    if publish and profile is not Profile.lecture:
        raise typer.BadParameter("--publish needs --profile lecture")
    if publish and (device is not None or seed is not None):
        raise typer.BadParameter("--publish takes no --device and no --seed")
    root = project()
    if device is not None:
        from workbench.models.device import pick

        device = pick(device)  # its warning would be stderr in a notebook
    try:
        paths = series.select(root, notebooks or [])
        settings = job.Settings(
            root=root, profile=profile.value, device=device, seed=seed, force=force,
            speed=speed.measure(), memory_gb=memory,
            enforce=profile is Profile.ci and os.environ.get("CI") == "true",
        )  # fmt: skip
        with (
            claimed(settings.folder),
            redirect_stdout(sys.stderr if as_json else sys.stdout),
        ):
            results, failed = _run(paths, settings, jobs, site, publish)
    except (FileNotFoundError, build.SourceError, WorkbenchError) as error:
        fail(str(error))
    if as_json:
        typer.echo(json_of([_row(result) for result in results]))
    if failed:
        raise typer.Exit(1)


def _row(result: Any) -> dict[str, Any]:
    """What came of one notebook, for a program."""
    return {
        "notebook": result.name,
        "profile": result.profile,
        "passed": result.passed,
        "executed": not result.cached,
        "seconds": result.seconds,
        "failures": [str(failure) for failure in result.failures],
        "copy": str(result.executed),
    }


def _run(
    paths: list[Path], settings, jobs: int, site: bool, publish: bool
) -> tuple[list, list]:
    """Execute, show, and say at the end what came of it.

    Returns:
        the results by name, and those that failed or could not be published.
    """
    from workbench.runner import report, series

    _build(paths, settings.root)
    if site and (page := _site(settings)):
        typer.echo(f"the published lessons: {page.as_uri()}")
        typer.echo("they can be read while all are executed here:")
    results = []

    def on_result(result) -> None:
        results.append(result)
        if not result.passed:
            typer.echo(report.failure_text(result))

    bars = report.Progress(len(paths))
    try:
        series.run(paths, settings, jobs=jobs, progress=bars, on_result=on_result)
    except KeyboardInterrupt:
        ending.say(
            f"stopped: {len(results)} of {len(paths)} notebooks are done and kept; "
            "the same command goes on with the others"
        )
        raise
    series.write_reports(results, settings)
    failed = [result for result in results if not result.passed]
    if publish:
        failed += _publish([result for result in results if result.passed], settings)
    _tell(results, failed, settings, site)
    return sorted(results, key=lambda result: result.name), failed


def _tell(results: list, failed: list, settings, site: bool) -> None:
    """Print the notes of other packages, where the site is, and last the summary."""
    from workbench.runner import report

    if text := report.notes_text(results):
        typer.echo(text)
    if site and (page := _site(settings)):
        typer.echo(f"site: {page.as_uri()}")
    executed = sum(not result.cached for result in results)
    if failed:
        typer.echo("failed: " + ", ".join(result.name for result in failed))
    typer.echo(
        f"{len(results)} notebooks at {settings.profile}: {executed} executed, "
        f"{len(results) - executed} unchanged, {len(failed)} failed"
    )


def site(
    profile: Annotated[Profile, typer.Option(help="Which copies.")] = Profile.lecture,
) -> None:
    """Build the course book, site/index.html, and print its address.

    A lesson is shown as it was executed here; where it was not, or failed, as it was
    published.
    """
    from workbench.runner.job import Settings

    page = _site(Settings(root=project(), profile=profile.value))
    if page is None:
        raise typer.Exit(1)
    typer.echo(page.as_uri())


def _build(paths: list[Path], root: Path) -> None:
    """Build notebooks from their sources, except those a reader has edited."""
    from workbench.runner import build

    for path in paths:
        target = root / "notebooks" / f"{path.stem}.ipynb"
        shown = target.relative_to(root)
        try:
            if build.sync(build.read(path), target) == "edited":
                typer.echo(f"{shown} has your edits: left alone")
        except build.BrokenNotebook as error:
            typer.echo(f"{shown} {error}: left alone (git checkout {shown} mends it)")
    if not paths:
        typer.echo("there is no notebook in notebooks/src yet")


def _publish(results: list, settings) -> list:
    """Publish what passed; returns those that could not be."""
    from workbench.runner.publish import PublishError, publish

    refused = []
    for result in results:
        try:
            publish(result, settings)
        except PublishError as error:
            typer.echo(f"not published: {error}")
            refused.append(result)
    return refused


def _site(settings) -> Path | None:
    """The book's first page; None, and a sentence, if it cannot be built."""
    from workbench.book import binding
    from workbench.core.errors import WorkbenchError

    try:
        return binding.build_book(settings)
    except WorkbenchError as error:  # a missing page costs no notebook
        typer.echo(str(error), err=True)
        return None
