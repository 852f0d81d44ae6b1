"""`workbench run | site`: the notebooks of a clone."""

import os
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.common import Profile, fail, project


def run(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(help="Numbers, names or paths; all if none is given."),
    ] = None,
    *,
    profile: Annotated[Profile, typer.Option(help="Size.")] = Profile.lecture,
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks at a time.")] = 2,
    force: Annotated[bool, typer.Option(help="Execute what is unchanged too.")] = False,
    publish: Annotated[
        bool, typer.Option(help="Commit-ready copies into notebooks/ (lecture only).")
    ] = False,
    site: Annotated[bool, typer.Option(help="Build the site afterwards.")] = False,
    device: Annotated[
        str | None, typer.Option(help="DEVICE for the notebooks, such as cuda.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="SEED for the notebooks.")] = None,
) -> None:
    """Execute notebooks, judge them, and keep the executed copies in build/PROFILE."""
    from workbench.runner import build, job, report, series

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
            slow=_slow(),
        )  # fmt: skip
        _build(paths, root)
        results = series.run(
            paths, settings, jobs=jobs, progress=report.Progress(len(paths)),
            on_failure=lambda result: typer.echo(report.failure_text(result)),
        )  # fmt: skip
    except (FileNotFoundError, build.SourceError) as error:
        fail(str(error))
    series.write_reports(results, settings)
    failed = [result for result in results if not result.passed]
    if publish:
        failed += _publish([result for result in results if result.passed], settings)
    if site:
        _site(settings)
    executed = sum(not result.cached for result in results)
    typer.echo(
        f"{len(results)} notebooks at {profile.value}: {executed} executed, "
        f"{len(results) - executed} unchanged, {len(failed)} failed"
    )
    if failed:
        typer.echo("failed: " + ", ".join(result.name for result in failed))
        raise typer.Exit(1)


def site(
    profile: Annotated[Profile, typer.Option(help="Which copies.")] = Profile.lecture,
) -> None:
    """Build site/index.html from the executed notebooks and print its path."""
    from workbench.runner.job import Settings

    _site(Settings(root=project(), profile=profile.value))


def _build(paths: list[Path], root: Path) -> None:
    """Build notebooks from their sources, except those a reader has edited."""
    from workbench.runner import build

    for path in paths:
        target = root / "notebooks" / f"{path.stem}.ipynb"
        if build.sync(build.read(path), target) == "edited":
            typer.echo(f"{target.relative_to(root)} has your edits: left alone")
    if not paths:
        typer.echo("there is no notebook in notebooks/src yet")


def _slow() -> float:
    """Factor on the time budgets, from WORKBENCH_SLOW."""
    text = os.environ.get("WORKBENCH_SLOW", "1")
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not factor > 0:
        fail(f"WORKBENCH_SLOW must be a positive number, not {text!r}")
    return factor


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


def _site(settings) -> None:
    from workbench.runner.site import build_site

    typer.echo(str(build_site(settings)))
