"""`workbench sweep`: `workbench train` at every point of a grid, several at a time.

joblib starts the processes. Ray Tune and Optuna also choose which points to try, and
stop bad ones early; Ray brings a cluster for that. A grid on one machine needs neither,
and either can call ``experiment.training.run_command`` as well.
"""

import os
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.common import fail, json_of

# what follows the options of the sweep is of `train`, the same at every point
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}
LOG, COMPARED = "train.log", "compared"


def sweep(
    method: Annotated[str, typer.Argument(help="Method key, such as dpo.")],
    others: Annotated[
        list[str] | None,
        typer.Argument(help="Other options of train, the same for all runs."),
    ] = None,
    *,
    over: Annotated[
        list[str] | None,
        typer.Option(help="Option of train and its values, such as lr=1e-5,1e-4."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Setting and its values, such as beta=0.1,0.3."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the runs, one folder each.")],
    jobs: Annotated[int, typer.Option(min=1, help="Runs at the same time.")] = 1,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="The numbers as JSON; the rest goes to stderr."),
    ] = False,
) -> None:
    """Train at every point of a grid; all other options are those of train.

    The same command goes on with what is not done.
    """
    options = [_axis(text) for text in over or []]
    settings = [_axis(text) for text in setting or []]
    if not options and not settings:
        fail("a sweep needs --over name=v1,v2 or --set name=v1,v2")
    names = [name for name, _ in (*options, *settings)]
    points = list(product(*(values for _, values in (*options, *settings))))
    folders = [out / _folder(names, point) for point in points]
    if len(set(folders)) < len(folders):
        fail("two points of the grid are the same")
    commands = []
    for point, folder in zip(points, folders, strict=True):
        words = [f"--{name}={v}" for (name, _), v in zip(options, point, strict=False)]
        rest = zip(settings, point[len(options) :], strict=True)
        words += [f"--set={name}={value}" for (name, _), value in rest]
        commands.append([method, *(others or []), *words, f"--out={folder}"])
        _check(method, commands[-1])
    out.mkdir(parents=True, exist_ok=True)
    failed = _run(commands, folders, jobs, partial(typer.echo, err=as_json))
    done = [folder for folder in folders if folder not in failed]
    _compare(done, out / COMPARED, as_json)
    if failed:
        fail(f"{len(failed)} of {len(folders)} runs failed: see their {LOG} in {out}")


def _axis(text: str) -> tuple[str, list[str]]:
    """A name and its values."""
    name, _, values = text.partition("=")
    known = [value for value in values.split(",") if value]
    if not name or not known:
        fail(f"a grid is name=v1,v2, not {text!r}")
    return name.removeprefix("--"), known


def _folder(names: list[str], point: tuple[str, ...]) -> str:
    """A name that says which point it is."""
    told = ",".join(f"{n}={v}" for n, v in zip(names, point, strict=True))
    return re.sub(r"[^\w.,=+-]", "_", told)


def _check(method: str, command: list[str]) -> None:
    """Refuse what can be known to be wrong before the first run."""
    from workbench.core.errors import WorkbenchError
    from workbench.experiment.training_settings import Settings, configure, find

    given = _parsed(command)
    # what train passes on under the same name
    same = {field.name for field in fields(Settings)} & set(given) - {"columns"}
    told = {k: _plain(given[k]) for k in same if given[k] is not None}
    try:
        Settings(**told)
        pairs = [text.split("=", 1) for text in given["setting"] or []]
        configure(find(method), dict(pairs))
    except WorkbenchError as error:
        fail(str(error))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _parsed(command: list[str]) -> dict:
    """The arguments of `train`, which raises what it would say."""
    from workbench import cli

    group: Any = typer.main.get_command(cli.app)
    train = group.commands["train"]
    return train.make_context("workbench train", list(command)).params


def _run(
    commands: list[list[str]],
    folders: list[Path],
    jobs: int,
    echo: Callable[[str], None],
) -> set[Path]:
    """Carry the commands out; the folders of those that failed."""
    import joblib

    failed: set[Path] = set()
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with joblib.parallel_config("loky", inner_max_num_threads=threads):
        works = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        tasks = zip(commands, folders, strict=True)
        for folder, wrong in works(joblib.delayed(_one)(*task) for task in tasks):
            echo(f"{folder.name}: {wrong or 'done'}")
            if wrong:
                failed.add(folder)
    return failed


def _one(command: list[str], folder: Path) -> tuple[Path, str]:
    """One `workbench train` in this process: its folder, and what it failed with."""
    from workbench import cli
    from workbench.core import ending

    ending.raise_on_signals()
    log = folder.with_name(f"{folder.name}.{LOG}")
    resume = ["--resume"] if folder.exists() else []
    sys.argv = ["workbench", "train", *command]
    with log.open("a", encoding="utf-8") as file:
        with redirect_stdout(file), redirect_stderr(file):
            try:
                cli.app(["train", *command, *resume])
                status = 0
            except SystemExit as error:
                status = error.code
    if not status:
        return folder, ""
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line]
    return folder, (lines or ["it failed without a word"])[-1]


def _compare(folders: list[Path], out: Path, as_json: bool) -> None:
    """The finished runs side by side: a page where there are two, and the table."""
    from workbench.experiment import compared_report, compared_runs

    runs = [compared_runs.one(folder) for folder in folders]
    shown = runs[: compared_runs.MOST]
    if len(shown) < len(runs):
        typer.echo(f"the first {len(shown)} of {len(runs)} runs are shown", err=as_json)
    if as_json:
        typer.echo(json_of(compared_runs.long_table(runs) if runs else []))
    elif len(runs) > 1:
        typer.echo(compared_runs.wide_table(shown).to_string(index=False))
    if len(runs) > 1:
        command = compared_report.command_of([str(folder) for folder in folders])
        compared_report.write(shown, command, out, out.exists())
        typer.echo(f"written to {out}", err=as_json)
