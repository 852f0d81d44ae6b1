"""`workbench audit`: a checkpoint against its reference, without training."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.common import check_file, columns_of, fail


def audit(
    reference: Annotated[
        Path, typer.Argument(help="The checkpoint that training started from.")
    ],
    policy: Annotated[
        Path, typer.Argument(help="What came of it: a checkpoint or a LoRA adapter.")
    ],
    *,
    pairs: Annotated[Path, typer.Option(help="A preference file with pairs.")],
    out: Annotated[Path, typer.Option(help="Folder of the report; it is made.")],
    beta: Annotated[float, typer.Option(help="Reward units per nat.")] = 0.1,
    samples: Annotated[
        int, typer.Option(min=2, help="Responses sampled of each of the two.")
    ] = 64,
    max_new: Annotated[int, typer.Option(min=1, help="Longest sample, tokens.")] = 64,
    max_length: Annotated[
        int, typer.Option(min=8, help="Longest sequence of the file, tokens.")
    ] = 512,
    most: Annotated[
        int, typer.Option(min=1, help="Pairs that are read at most.")
    ] = 2000,
    columns: Annotated[
        str | None, typer.Option(help="Names of the file's columns, prompt=mine,….")
    ] = None,
    special_tokens: Annotated[
        str, typer.Option(help="Special tokens in a text: yes, or no (characters).")
    ] = "yes",
    overwrite: Annotated[
        bool, typer.Option(help="Delete what an earlier audit made in --out.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option(help="Count and skip bad lines instead of stopping.")
    ] = False,
) -> None:
    """Read a checkpoint's implicit rewards, drift and samples; nothing is trained."""
    named = columns_of(columns)
    check_file(pairs)
    from workbench.core.errors import WorkbenchError

    try:
        from workbench.experiment.audit import Settings
        from workbench.experiment.audit_report import run_command

        settings = Settings(
            str(reference), str(policy), str(pairs), beta, samples, max_new, max_length,
            named, special_tokens, skip_bad, most,
        )  # fmt: skip
        run_command(settings, out, overwrite=overwrite, echo=typer.echo)
    except WorkbenchError as error:
        fail(str(error))
