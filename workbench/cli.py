"""The command line: `workbench run | lab | methods | train | compare | site`.

Everything heavy is imported inside the command that needs it.
"""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Preference optimisation and RLHF held against exact answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Profile(StrEnum):
    """How large the notebooks' experiments are."""

    ci = "ci"
    lecture = "lecture"
    figure = "figure"


class WorldName(StrEnum):
    """A synthetic world to train in."""

    reviews = "reviews"
    stories = "stories"


@app.command()
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
    root = _root()
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
        _fail(str(error))
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


@app.command()
def lab() -> None:
    """Open JupyterLab on notebooks/."""
    from workbench.runner import series

    root = _root()
    _build(series.sources(root), root)
    command = [sys.executable, "-m", "jupyterlab", str(root / "notebooks")]
    os.execv(sys.executable, command)


@app.command()
def site(
    profile: Annotated[Profile, typer.Option(help="Which copies.")] = Profile.lecture,
) -> None:
    """Build site/index.html from the executed notebooks and print its path."""
    from workbench.runner.job import Settings

    _site(Settings(root=_root(), profile=profile.value))


@app.command()
def methods(
    key: Annotated[str | None, typer.Argument(help="Show one method in full.")] = None,
) -> None:
    """List the methods, or show the docstring of one."""
    import inspect

    from workbench import catalogue

    if key is None:
        rows = catalogue.table()
        width = max((len(row["key"]) for row in rows), default=0)
        for row in rows:
            typer.echo(f"{row['key']:<{width}}  {row['family']:<10}  {row['title']}")
        return
    found = catalogue.methods()
    if key not in found:
        _fail(f"no method {key!r}; there are {', '.join(found)}")
    typer.echo(inspect.getdoc(found[key]))


@app.command()
def train(
    method: Annotated[str, typer.Argument(help="A key of `workbench methods`.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder of the runs, one a seed.")],
    world: Annotated[
        WorldName | None, typer.Option(help="A synthetic world to train in.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="A preference file (JSONL or parquet).")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A local Hugging Face checkpoint to start from.")
    ] = None,
    profile: Annotated[
        Profile,
        typer.Option(help="Defaults of --width, --layers, --seeds and --device."),
    ] = Profile.lecture,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How many seeds; 1, or 5 at figure.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Training steps; the default fits the data."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the method, such as beta=0.3."),
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's step size.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step.")] = 32,
    max_length: Annotated[
        int, typer.Option(min=8, help="Longest sequence of a file, tokens.")
    ] = 512,
    width: Annotated[
        int | None, typer.Option(help="Hidden size of a new model; 64 or 352.")
    ] = None,
    layers: Annotated[
        int | None, typer.Option(help="Blocks of a new model; 2 or 8.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; cuda at figure.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on where a run stopped.")] = False,
    skip_bad: Annotated[
        bool, typer.Option(help="Count and skip bad lines instead of stopping.")
    ] = False,
) -> None:
    """Train a method in a world or on a preference file, with its figures."""
    if (world is None) == (pairs is None):
        raise typer.BadParameter("give either --world or --pairs")
    if any("=" not in text for text in setting or []):
        raise typer.BadParameter("--set takes name=value")
    from workbench.core.errors import WorkbenchError
    from workbench.train import run_command, sizes

    try:
        run_command(
            method, world=None if world is None else world.value, pairs=pairs,
            model=model, steps=steps, out=out, resume=resume,
            skip_bad=skip_bad, lr=lr, batch_size=batch_size, max_length=max_length,
            **sizes(profile.value, seeds, width, layers, device),
            options=dict(text.split("=", 1) for text in setting or []),
            echo=typer.echo,
        )  # fmt: skip
    except WorkbenchError as error:
        _fail(str(error))


@app.command()
def compare(
    *,
    family: Annotated[str, typer.Option(help="A family of methods.")] = "offline",
    method: Annotated[
        list[Path] | None,
        typer.Option(help="A Python file with loss(batch, cfg); may be repeated."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only these methods of the family.")
    ] = None,
    world: Annotated[WorldName, typer.Option(help="Where.")] = WorldName.reviews,
    seeds: Annotated[int, typer.Option(min=1, help="Labellings and runs.")] = 3,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pairs a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's step size.")] = None,
    beta: Annotated[
        float | None, typer.Option(help="β of every method that has one.")
    ] = None,
    by: Annotated[str, typer.Option(help="Column to sort by.")] = "gold",
    out: Annotated[Path | None, typer.Option(help="Folder for CSV and figure.")] = None,
) -> None:
    """Rank methods, and your own, on the same labels and budget."""
    import torch

    from workbench.arena import command
    from workbench.core.errors import WorkbenchError

    torch.set_num_threads(1)  # models so small run slower on two
    os.environ.setdefault("WORKBENCH_PROGRESS", "0")
    settings = command.Settings(
        family=family, files=tuple(method or ()), only=tuple(only or ()),
        world=world.value, seeds=seeds, steps=steps, batch_size=batch_size, lr=lr,
        beta=beta, by=by, out=out,
    )  # fmt: skip
    try:
        command.run(settings, typer.echo)
    except WorkbenchError as error:
        _fail(str(error))


def main() -> None:
    """Entry point of the `workbench` command."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


def _root() -> Path:
    from workbench.runner.series import find_root

    try:
        return find_root()
    except FileNotFoundError as error:
        _fail(str(error))


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
        _fail(f"WORKBENCH_SLOW must be a positive number, not {text!r}")
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


def _fail(message: str) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    main()
