"""The command behind ``workbench train``: read, train every seed, measure, draw.

Everything that may be wrong with the command is found before its folder is touched.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from workbench.core import ending, outputs, processes
from workbench.core.errors import BadOption, BadRun, WorkbenchError
from workbench.core.outputs import Command, Outputs
from workbench.core.seeds import seed_everything
from workbench.experiment.training_settings import Settings, configure, find

REFERENCE = "reference"
# of a run folder: what a loop fills as it likes
FILLED = ("state/", "policy/", "policy.partial/", "logs/")


def run_command(
    method: str,
    *,
    out: str | Path,
    world: str | None = None,
    pairs: str | Path | None = None,
    model: str | Path | None = None,
    seeds: int = 1,
    steps: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    skip_bad: bool = False,
    options: Mapping[str, str] | None = None,
    echo: Callable[[str], None] = print,
    again: str = "the same call with resume=True",
    **more,
) -> Path:
    """Train a method and leave a folder with runs, metrics and figures.

    Args:
        method: key of a method.
        out: folder of the command: ``seed-N/`` with run.json, metrics.csv and policy/,
            then metrics.csv of all seeds, the figures and report.html. A folder of an
            earlier command is refused, and so is any other folder with content.
        world: reviews or stories.
        pairs: a preference file, instead of a world.
        model: a local Hugging Face checkpoint, with ``pairs``.
        seeds: number of runs.
        steps: optimiser steps of each run.
        resume: continue the same command where it was interrupted.
        overwrite: delete the files that an earlier command made in ``out``, and no
            others, once this command is known to be right.
        skip_bad: leave out bad lines of the file, and count them.
        options: settings of the method, as text.
        echo: where sentences for the user go.
        again: how a command that is stopped can go on, in words.
        more: the other fields of ``Settings``.

    Returns:
        the folder.

    Raises:
        WorkbenchError: anything the user can mend, with what and where.
    """
    paths = {"pairs": pairs, "model": model}
    paths = {k: None if v is None else str(v) for k, v in paths.items()}
    settings = Settings(
        method, world, seeds=seeds, steps=steps, skip_bad=skip_bad,
        options=dict(options or {}), **paths, **more,
    )  # fmt: skip
    how = {"resume": resume, "overwrite": overwrite}
    with processes.together(settings.device):
        said = echo if processes.is_main() else _unheard
        return _run(settings, Path(out), how, said, again)


def _unheard(line: str) -> None:
    """Say nothing: the first of several processes says it."""


def _run(settings: Settings, out: Path, how: dict, echo, again: str) -> Path:
    """Check all of a command, and then carry it out."""
    module = find(settings.method)
    cfg = configure(module, settings.options)
    with _stopping(lambda: f"nothing was written; to start: {again}"):
        from workbench.experiment import measuring, task

        task.check(module, settings)
        task.try_settings(module, cfg, settings)
        command = _command(module, settings)
        outputs.check(out, command, **how)
        _check_apart(settings, out)
        seed_everything(0)
        problem = problem_of(module, settings, out, how["resume"])
        problem, settings = measuring.fitted(module, cfg, problem, settings)
        notes = (*problem.notes, *task.notes(module, settings))
        for note in notes:
            echo(note)
        one = task.Task(module, cfg, replace(problem, notes=notes), settings)
        one.check()
    processes.wait()  # all have seen the folder as it was
    if not processes.is_main():
        return _follow(one, out, how["resume"])
    with (
        _stopping(lambda: f"{out} keeps {_kept(out, settings)}; to go on: {again}"),
        _writing(out),
        outputs.opened(out, command, **how) as folder,
    ):
        return _train(one, folder, how["resume"], echo)


def _follow(task, out: Path, resume: bool) -> Path:
    """What every process does but the first: train its share, and write nothing."""
    task = replace(task, problem=task.problem.ready())
    for seed in range(task.settings.seeds):
        seed_everything(seed)
        task.run(seed, out / f"seed-{seed}", resume)
    return out


@contextmanager
def _stopping(kept: Callable[[], str]) -> Iterator[None]:
    """Say in one sentence what a command leaves that is told to end."""
    try:
        yield
    except KeyboardInterrupt:
        if processes.is_main():
            ending.say(f"stopped: {kept()}")
        raise


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """What the operating system refuses is told as an error of the folder."""
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:
        # safetensors and tokenizers have exceptions of their own for it
        if not isinstance(error, OSError) and "os error" not in str(error):
            raise
        told = error.strerror if isinstance(error, OSError) else None
        name = getattr(error, "filename", None)
        message = f"{name}: {told or error}" if name else f"{told or error}"
        message += "; once that is mended, go on with --resume"
        raise BadRun(out, "cannot be written", message) from error


def _kept(out: Path, settings: Settings) -> str:
    """What a folder holds of a command, in words."""
    seeds = [f"seed-{seed}" for seed in range(settings.seeds)]
    done = sum((out / name / "metrics.csv").is_file() for name in seeds)
    parts = [f"{done} of {settings.seeds} finished runs"]
    for name in (REFERENCE, *seeds):
        latest = out / name / "state" / "latest"
        if latest.is_file() and not (out / name / "metrics.csv").is_file():
            step = latest.read_text(encoding="utf-8").strip().removeprefix("step-")
            parts.append(f"{name} as it was at step {step}")
    return " and ".join(parts)


def _command(method, settings: Settings) -> Command:
    from workbench.experiment import pace, run_figures, training_problem

    runs = "1 run" if settings.seeds == 1 else f"{settings.seeds} runs"
    folders = [f"seed-{seed}" for seed in range(settings.seeds)]
    if training_problem.trains_reference(settings, pace.starts_from_reference(method)):
        folders.append(REFERENCE)
    wanted = [path for name in folders for path in _run_paths(name)]
    wanted += ["metrics.csv", *run_figures.files(method.card.loop.TRAINS)]
    return Command(
        "train", settings.card(), f"{runs} of {settings.method}", tuple(wanted)
    )


def _run_paths(name: str) -> list[str]:
    """What a loop writes into the folder of a run."""
    files = [f"{name}/{file}" for file in ("run.json", "metrics.csv")]
    return files + [f"{name}/{folder}" for folder in FILLED]


def _check_apart(settings: Settings, out: Path) -> None:
    """A checkpoint that the command starts from is not in the folder it writes."""
    if settings.model is not None:
        model = Path(settings.model).resolve()
        if out.resolve() in (model, *model.parents):
            raise BadOption(f"--model {settings.model} lies in --out; name another")


def problem_of(method, settings: Settings, out: Path, resume: bool):
    """The problem that a command names; nothing is written and nothing trained yet."""
    from workbench.experiment import file_notes, pace, training_problem
    from workbench.feedback.files import SkippedRecords

    if settings.world is not None:
        return training_problem.of_world(settings, out, resume)
    learn = pace.starts_from_reference(method)
    with warnings.catch_warnings():
        # the same sentence is among the notes
        warnings.simplefilter("ignore", SkippedRecords)
        used = file_notes.used_columns(method)
        return training_problem.of_file(settings, out, resume, learn, used)


@contextmanager
def _run_folder(out: Outputs, name: str) -> Iterator[Path]:
    """The folder of a run, which is ours alone while a loop writes into it."""
    out.claim(*_run_paths(name))
    yield out.folder / name
    out.settle(*(f"{name}/{folder}" for folder in FILLED))


def _train(task, out: Outputs, resume: bool, echo: Callable[[str], None]) -> Path:
    import pandas as pd

    if not task.problem.is_ready:
        with _run_folder(out, REFERENCE):
            task = replace(task, problem=task.problem.ready())
    frames, trained = [], []
    for seed in range(task.settings.seeds):
        seed_everything(seed)
        started = time.perf_counter()
        with _run_folder(out, f"seed-{seed}") as folder:
            run = task.run(seed, folder, resume)
            if task.problem.tokenizer is not None:
                task.problem.tokenizer.save_pretrained(folder / "policy")
        echo(f"seed {seed}: {time.perf_counter() - started:.0f} s, {_told(run.last)}")
        frames.append(run.metrics)
        trained.append((seed, run.policy))
        # written after each seed, so that a stopped command leaves what it has
        frame = pd.concat(frames, ignore_index=True)
        out.write("metrics.csv", frame.to_csv(index=False))
    return _draw(task, out, frame, trained, echo)


def _draw(task, out: Outputs, frame, trained: list, echo) -> Path:
    from workbench.experiment import run_figures

    if task.trains == "reward model":
        drawn = run_figures.of_scores(task, trained)
    else:
        drawn = run_figures.of_policy(task, frame)
    title = f"{task.method.card.title} on {_place(task.settings)}"
    captions = [figure.caption for figure in drawn.values()]
    run_figures.save(drawn, out, title, [*task.problem.notes, *captions])
    for line in (*captions, f"written to {out.folder}"):
        echo(line)
    return out.folder


def _place(settings: Settings) -> str:
    return settings.world or Path(settings.pairs).name


def _told(last) -> str:
    shown = (
        "loss", "gold", "kl", "kl_to_optimum", "margin", "accuracy", "train_accuracy",
        "gold_correlation",
    )  # fmt: skip
    row = last.iloc[0]
    return ", ".join(f"{name} {row[name]:.3f}" for name in shown if name in row.index)
