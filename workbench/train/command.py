"""The command behind ``workbench train``: read, train every seed, measure, draw."""

import json
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from workbench.core.errors import BadRun
from workbench.core.seeds import seed_everything
from workbench.train.settings import Settings, configure, find

CARD = "train.json"


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
    skip_bad: bool = False,
    options: Mapping[str, str] | None = None,
    echo: Callable[[str], None] = print,
    **more,
) -> Path:
    """Train a method and leave a folder with runs, metrics and figures.

    Args:
        method: key of a method.
        out: folder of the command: ``seed-N/`` with run.json, metrics.csv and policy/,
            then metrics.csv of all seeds, the figures and report.html. A folder of an
            earlier command is written anew; any other folder with content is refused.
        world: reviews or stories.
        pairs: a preference file, instead of a world.
        model: a local Hugging Face checkpoint, with ``pairs``.
        seeds: number of runs.
        steps: optimiser steps of each run.
        resume: continue the same command where it was interrupted.
        skip_bad: leave out bad lines of the file, and count them.
        options: settings of the method, as text.
        echo: where sentences for the user go.
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
    module = find(method)
    cfg = configure(module, settings.options)
    from workbench.train import tasks

    tasks.check(module, settings)
    out = Path(out)
    _open(out, settings, resume)
    seed_everything(0)
    source = _source(module, settings, out, resume)
    for note in source.notes:
        echo(note)
    return _train(tasks.Task(module, cfg, source, settings), out, resume, echo)


def _source(method, settings: Settings, out: Path, resume: bool):
    from workbench.feedback.files import SkippedRecords
    from workbench.train import sources

    if settings.world == "reviews":
        return sources.of_reviews(settings)
    if settings.world == "stories":
        return sources.of_stories(settings, out, resume)
    learn = method.card.family == "offline"
    with warnings.catch_warnings():
        # the same sentence is among the notes
        warnings.simplefilter("ignore", SkippedRecords)
        return sources.of_file(settings, out, resume, learn)


def _open(out: Path, settings: Settings, resume: bool) -> None:
    """Make the folder ready, or say why it cannot be used."""
    from workbench.loops.checkpoint import write

    card = json.dumps(settings.card(), indent=2, sort_keys=True) + "\n"
    there = out / CARD
    if resume:
        if not there.is_file():
            raise BadRun(out, "nothing to resume", f"it has no {CARD}")
        was, now = json.loads(there.read_text(encoding="utf-8")), json.loads(card)
        differ = sorted(k for k in was.keys() | now.keys() if was.get(k) != now.get(k))
        if differ:
            said = ", ".join(f"{k} was {was.get(k)!r}" for k in differ)
            raise BadRun(out, "another command", said)
        return
    if out.exists() and not out.is_dir():
        raise BadRun(out, "no folder", "there is a file of this name")
    if out.exists() and any(out.iterdir()) and not there.is_file():
        raise BadRun(out, "folder in use", "it holds something else; name another")
    for old in out.glob("*"):
        if old.name == "reference" or old.name.startswith("seed-"):
            shutil.rmtree(old)
    out.mkdir(parents=True, exist_ok=True)
    write(there, card)


def _train(task, out: Path, resume: bool, echo: Callable[[str], None]) -> Path:
    import pandas as pd

    from workbench.loops.checkpoint import write

    frames, trained = [], []
    for seed in range(task.settings.seeds):
        seed_everything(seed)
        folder = out / f"seed-{seed}"
        started = time.perf_counter()
        run = task.run(seed, folder, resume)
        if task.source.tokenizer is not None:
            task.source.tokenizer.save_pretrained(folder / "policy")
        echo(f"seed {seed}: {time.perf_counter() - started:.0f} s, {_told(run.last)}")
        frames.append(run.metrics)
        trained.append((seed, run.policy))
    frame = pd.concat(frames, ignore_index=True)
    write(out / "metrics.csv", frame.to_csv(index=False))
    return _draw(task, out, frame, trained, echo)


def _draw(task, out: Path, frame, trained: list, echo) -> Path:
    from workbench.train import figures

    if task.family == "reward":
        drawn = figures.of_scores(task, trained)
    else:
        drawn = figures.of_policy(task, frame)
    title = f"{task.method.card.title} on {_place(task.settings)}"
    captions = [figure.caption for figure in drawn.values()]
    figures.save(drawn, out, title, [*task.source.notes, *captions])
    for line in (*captions, f"written to {out}"):
        echo(line)
    return out


def _place(settings: Settings) -> str:
    return settings.world or Path(settings.pairs).name


def _told(last) -> str:
    shown = (
        "loss", "gold", "kl", "kl_to_optimum", "margin", "accuracy", "train_accuracy",
        "gold_correlation",
    )  # fmt: skip
    row = last.iloc[0]
    return ", ".join(f"{name} {row[name]:.3f}" for name in shown if name in row.index)
