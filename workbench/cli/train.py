"""`workbench train`: one method, its runs, its figures."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.common import Profile, WorldName, fail


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
        fail(str(error))
