"""`workbench train`: train one method, with its runs and its figures."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.common import (
    Profile,
    check_file,
    columns_of,
    complete_method,
    fail,
    fetched,
)


def train(
    method: Annotated[
        str,
        typer.Argument(
            help="A key of `workbench methods`.", autocompletion=complete_method
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of the runs, one per seed. It is made; one with an earlier "
            "command's runs is refused without --resume or --overwrite, and files "
            "that the workbench did not make are never touched."
        ),
    ],
    world: Annotated[
        str | None,
        typer.Option(help="A synthetic world to train in: reviews, stories."),
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="A preference file: JSON, CSV, parquet, Arrow.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="A local checkpoint to start from: a folder or a GGUF file."),
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option(
            help="Download the checkpoint to start from: OWNER/MODEL of the Hugging "
            "Face hub; safetensors only, no code."
        ),
    ] = None,
    lora: Annotated[
        str | None,
        typer.Option(
            help="Train a LoRA adapter of --model, such as r=16,alpha=32; with "
            "targets=q_proj+v_proj (or all-linear) peft does not choose the layers; "
            "with quant=4bit the other weights have 4 bits, by bitsandbytes."
        ),
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
        typer.Option(min=1, help="Training steps; the default is the method's."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the method, such as beta=0.3."),
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's step size.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples per step.")] = 32,
    micro_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Examples in memory at once; the gradient is still the whole batch's.",
        ),
    ] = None,
    warmup: Annotated[
        int | None, typer.Option(min=0, help="Steps until --lr is reached.")
    ] = None,
    clip: Annotated[
        float | None, typer.Option(help="Longest gradient, as a 2-norm.")
    ] = None,
    checkpointing: Annotated[
        bool,
        typer.Option(
            "--checkpointing",
            help="Run layers again in the backward pass: less memory, more time.",
        ),
    ] = False,
    users: Annotated[
        int,
        typer.Option(
            min=0,
            help="The number of users with different tastes who label a world; 0 is "
            "one annotator. A file has its own column of users.",
        ),
    ] = 0,
    group: Annotated[
        int, typer.Option(min=1, help="Responses to a prompt, for own responses.")
    ] = 4,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes over the data set, instead of --steps; or over own responses, "
            "or over a round's pairs.",
        ),
    ] = None,
    eval_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps between measures (and kept states): 25; with --model so many "
            "that measures are at most half of the training's work.",
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Responses sampled at each measure: 128, or fewer with --model.",
        ),
    ] = None,
    max_new: Annotated[
        int, typer.Option(min=1, help="Longest sampled response to a file's prompt.")
    ] = 64,
    held_out: Annotated[
        int | None,
        typer.Option(
            min=1, help="Rows of a file that are held out; a tenth, at most 200."
        ),
    ] = None,
    eval_pairs: Annotated[
        Path | None,
        typer.Option(help="Measure on this file's rows, and train on all of --pairs."),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(help="Log to tensorboard or wandb, too, in TRL's names."),
    ] = None,
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
    resume: Annotated[
        bool, typer.Option(help="Go on where the same command stopped.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            help="Delete what an earlier command made in --out, and start anew."
        ),
    ] = False,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Names of the file's columns that the workbench does not know, such "
            "as prompt=question_text,chosen=best."
        ),
    ] = None,
    special_tokens: Annotated[
        str,
        typer.Option(
            help="Whether special tokens of the tokenizer in a file's text are read as "
            "such (yes) or as characters (no)."
        ),
    ] = "yes",
    show: Annotated[
        int, typer.Option(min=0, help="Print so many encoded examples of a file.")
    ] = 0,
    skip_bad: Annotated[
        bool, typer.Option(help="Count and skip bad lines instead of stopping.")
    ] = False,
    rejected: Annotated[
        str,
        typer.Option(
            help="In a file of scored groups, what the best response makes a pair "
            "with: random, one drawn from those of lower score, or worst."
        ),
    ] = "random",
) -> None:
    """Train a method in a world or on a preference file, with its figures."""
    if (world is None) == (pairs is None):
        raise typer.BadParameter("give either --world or --pairs")
    if any("=" not in text for text in setting or []):
        raise typer.BadParameter("--set takes name=value")
    if hub is not None and model is not None:
        raise typer.BadParameter("give either --model or --hub")
    if hub is not None and pairs is None:
        raise typer.BadParameter("--hub goes with --pairs")
    named = columns_of(columns)
    check_file(pairs)
    check_file(eval_pairs)
    from workbench.core.errors import WorkbenchError
    from workbench.experiment.training import run_command
    from workbench.experiment.training_settings import sizes

    try:
        if hub is not None:
            model = fetched(hub, typer.echo)
        run_command(
            method, world=world, pairs=pairs,
            model=model, steps=steps, out=out, resume=resume,
            overwrite=overwrite, skip_bad=skip_bad, lr=lr, batch_size=batch_size,
            max_length=max_length, rejected=rejected, users=users, group=group,
            every=eval_every, samples=samples, max_new=max_new, held_out=held_out,
            lora=lora, micro_batch=micro_batch, warmup=warmup, clip=clip,
            checkpointing=checkpointing or None,
            log=log,
            eval_pairs=None if eval_pairs is None else str(eval_pairs),
            epochs=epochs, special_tokens=special_tokens, show=show,
            columns=named,
            **sizes(profile.value, seeds, width, layers, device),
            options=dict(text.split("=", 1) for text in setting or []),
            echo=_echo, again=_again(sys.argv[1:]),
        )  # fmt: skip
    except WorkbenchError as error:
        fail(str(error))


def _echo(line: str) -> None:
    """Print a line, whatever letters the terminal has."""
    letters = sys.stdout.encoding or "utf-8"
    typer.echo(line.encode(letters, "backslashreplace").decode(letters))


def _again(arguments: list[str]) -> str:
    """The command that goes on where this one stopped."""
    kept = [word for word in arguments if word not in ("--resume", "--overwrite")]
    return shlex.join(["workbench", *kept, "--resume"])
