"""`workbench compare`: many methods, and your own, on the same labels."""

import os
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.common import fail, json_of


def compare(
    *,
    family: Annotated[str, typer.Option(help="A family of methods.")] = "direct",
    method: Annotated[
        list[Path] | None,
        typer.Option(
            help="A Python file with loss(batch, cfg); may be repeated. It is "
            "executed, without a limit of time or of what it may do: Ctrl-C ends it, "
            "and os._exit in it ends everything."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this method of the family; may be repeated."),
    ] = None,
    world: Annotated[str, typer.Option(help="Where: reviews, stories.")] = "reviews",
    seeds: Annotated[int, typer.Option(min=1, help="Labellings and runs.")] = 3,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pairs per step.")
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Adam's step size, at most 1.")
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="β of every objective that has one.")
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            help="Column to sort by: gold, kl, ece, accuracy, seconds, and in reviews "
            "regret and frontier_gap."
        ),
    ] = "gold",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of CSV and figure; it grows with every objective."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where the comparison in --out stopped."),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Delete the earlier comparison in --out."),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="The table as JSON; the rest goes to stderr."),
    ] = False,
) -> None:
    """Rank methods, and your own, on the same labels and budget."""
    import torch

    from workbench.core.errors import WorkbenchError
    from workbench.experiment import comparison

    torch.set_num_threads(1)  # models so small run slower on two
    os.environ.setdefault("WORKBENCH_PROGRESS", "0")
    settings = comparison.Settings(
        family=family, files=tuple(method or ()), only=tuple(only or ()),
        world=world, seeds=seeds, steps=steps, batch_size=batch_size, lr=lr,
        beta=beta, by=by, out=out, resume=resume, overwrite=overwrite,
    )  # fmt: skip
    try:
        # a guest's own prints are no JSON either
        with redirect_stdout(sys.stderr if as_json else sys.stdout):
            table = comparison.run(settings, partial(typer.echo, err=as_json))
    except WorkbenchError as error:
        fail(str(error))
    if as_json:
        typer.echo(json_of(table))
    if (table["problem"] != "").all():
        fail("no objective could be trained and measured")
