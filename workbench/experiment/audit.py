"""An audit: a checkpoint against its reference on a preference file, untrained."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workbench.experiment import audit_models, audit_proxy, run_folders
from workbench.experiment.audit_pairs import Extreme, Judged
from workbench.experiment.audit_samples import Drawn
from workbench.experiment.audit_settings import Settings
from workbench.feedback import files
from workbench.measure import pair_audit


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        settings: what was asked for.
        pairs: DataFrame, one row per pair: line, prompt, columns of
            ``pair_audit.rewards``.
        summary: of ``pair_audit.summary``, then of the samples.
        drawn: samples of both models, and the drift between them.
        extremes: the pairs with the lowest margins, then those with the highest.
        notes: sentences on the files and on what was left out.
        trained: the folder that was audited, and what was logged in training.
        held_out: as ``pairs``, of the held-out file; None without one.
        gap: of ``pair_audit.gap``; None without a held-out file.
        proxy: what a reward model says of the samples; None without one.
    """

    settings: Settings
    pairs: Any
    summary: Any
    drawn: Drawn
    extremes: list[Extreme]
    notes: tuple[str, ...]
    trained: run_folders.Trained
    held_out: Any = None
    gap: Any = None
    proxy: audit_proxy.Proxy | None = None


def audit(settings: Settings, echo: Callable[[str], None] = lambda line: None) -> Audit:
    """Compare a checkpoint with its reference on a preference file.

    Args:
        settings: what to read.
        echo: where sentences go while it works.

    Raises:
        WorkbenchError: anything the user can mend, with what and where.
    """
    import pandas as pd

    trained = run_folders.find(settings.policy)
    read = _read(settings, settings.pairs)
    unseen = None if settings.held_out is None else _read(settings, settings.held_out)
    scorer = None
    if settings.reward is not None:
        scorer = audit_models.Scorer(settings.reward, settings.max_length)
    longest = max(settings.max_length, settings.max_new + 1)
    both = audit_models.load(settings.reference, trained, longest)
    shown = Judged.of(settings, both, read)
    held_out = None if unseen is None else Judged.of(settings, both, unseen)
    notes, gap = [*both.notes, *shown.notes], None
    if held_out is not None:
        gap = pair_audit.gap(
            shown.frame, shown.clusters, held_out.frame, held_out.clusters
        )
        notes += [f"held out: {note}" for note in held_out.notes]
        notes += shown.shared_with(held_out)
    known = shown.prompts(max(1, settings.max_length - settings.max_new))
    notes.append(f"{len(shown.frame)} pairs of {len(known)} prompts are audited")
    for note in notes:
        echo(note)
    drawn = Drawn.of(settings, both, known)
    summary = pair_audit.summary(shown.frame, shown.clusters, settings.beta)
    return Audit(
        settings, shown.frame, pd.concat([summary, drawn.summary], ignore_index=True),
        drawn, shown.extremes(settings, both), tuple(notes), trained,
        None if held_out is None else held_out.frame, gap,
        None if scorer is None else audit_proxy.read(scorer, shown, drawn),
    )  # fmt: skip


def _read(settings: Settings, path: str) -> files.PreferenceFile:
    return files.read(path, skip_bad=settings.skip_bad, columns=settings.columns)
