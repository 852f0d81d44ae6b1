"""`workbench audit`: a checkpoint against its reference, without training."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.common import check_file, columns_of, fail, json_of

ROWS = ("pairs", "held_out", "proxy_samples", "logged")  # tables that are long


def audit(
    reference: Annotated[
        Path,
        typer.Argument(
            help="The checkpoint that training started from: a folder or a GGUF file."
        ),
    ],
    policy: Annotated[
        Path,
        typer.Argument(
            help="What came of it: a checkpoint, a LoRA adapter, or the output folder "
            "of TRL, LLaMA-Factory, Axolotl or workbench train."
        ),
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
    held_out_pairs: Annotated[
        Path | None,
        typer.Option(help="Pairs that were not trained on: the gap to --pairs."),
    ] = None,
    reward: Annotated[
        Path | None,
        typer.Option(help="A local reward model (one label) that scores the samples."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option(help="Delete what an earlier audit made in --out.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option(help="Count and skip bad lines instead of stopping.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="The tables as JSON; the rest goes to stderr."),
    ] = False,
) -> None:
    """Read a checkpoint's implicit rewards, drift and samples; nothing is trained."""
    named = columns_of(columns)
    for path in (pairs, held_out_pairs):
        check_file(path)
    from workbench.core.errors import WorkbenchError

    try:
        from workbench.experiment.audit import Settings
        from workbench.experiment.audit_report import run_command

        settings = Settings(
            str(reference), str(policy), str(pairs), beta, samples, max_new, max_length,
            named, special_tokens, skip_bad, most,
            *(None if path is None else str(path) for path in (held_out_pairs, reward)),
        )  # fmt: skip
        echo = partial(typer.echo, err=as_json)
        folder, found = run_command(settings, out, overwrite=overwrite, echo=echo)
        if as_json:
            typer.echo(json_of(_told(folder, found)))
    except WorkbenchError as error:
        fail(str(error))


def _told(folder: Path, found: Any) -> dict[str, Any]:
    """What an audit found, without the rows of the files."""
    from workbench.experiment.audit_report import signs, tables

    kept = {k: v for k, v in tables(found).items() if k not in ROWS}
    return {"out": str(folder), "signs": signs(found), **kept}
