"""`workbench compare`: many methods, and your own, on the same labels."""

import os
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.common import WorldName, fail


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
        fail(str(error))
