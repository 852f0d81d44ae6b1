"""What `workbench compare` does, without the command line."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from workbench.core import ending, outputs
from workbench.core.errors import BadOption
from workbench.experiment import guests
from workbench.experiment.candidates import Candidate, candidates, check_family, choose
from workbench.experiment.comparison_settings import Settings
from workbench.experiment.fit import fit, line
from workbench.experiment.leaderboard import check_order, leaderboard, markdown, orders
from workbench.experiment.leaderboard_figures import picture
from workbench.experiment.problem import Problem, of_world
from workbench.experiment.results import FILES, PICTURE, TABLE, Results
from workbench.loops.snapshots import versions

__all__ = ["Settings", "run"]

Echo = Callable[[str], None]


@dataclass(frozen=True)
class _Comparison:
    """Everything that was asked for, and found to be possible."""

    settings: Settings
    problem: Problem
    everyone: Sequence[Candidate]
    left_out: Mapping[str, str]
    command: outputs.Command

    @property
    def guests(self) -> list[str]:
        return [candidate.key for candidate in self.everyone if candidate.outside]


def run(settings: Settings, echo: Echo):
    """Run the comparison and print the table.

    Args:
        settings: what the user asked for; all of it is checked before any training.
        echo: where sentences for the user go.

    Returns:
        the leaderboard, a DataFrame.

    Raises:
        WorkbenchError: a bad option, a folder that cannot be used, or a file that holds
            no objective.
    """
    begun: list[Results] = []
    try:
        comparison = _prepare(settings, echo)
        with _opened(comparison) as folder:
            begun.append(Results(comparison.problem.seeds, comparison.everyone, folder))
            _train(comparison, begun[0], echo)
            frame = begun[0].frame
            table = leaderboard(frame, settings.by)
            _tell(comparison, table, echo)
            if folder is not None:
                _finish(comparison, frame, table, folder, echo)
    except KeyboardInterrupt:
        ending.say(_left(settings, begun))
        raise
    return table


# ---- before anything is trained -----------------------------------------------------


def _prepare(settings: Settings, echo: Echo) -> _Comparison:
    """Options first, then the folder, then the user's files, which are executed."""
    settings.check()
    check_family(settings.family)
    members, left_out = candidates(settings.family, settings.beta)
    taken = [candidate.key for candidate in members] + list(left_out)
    if settings.only:
        members, left_out = choose(settings.only, members, left_out), {}
    shas = guests.check_files(settings.files, taken)
    problem = of_world(settings.world, range(settings.seeds))
    check_order(settings.by, orders(problem.is_exact))
    if settings.budget.batch_size > problem.n_pairs:
        raise BadOption(
            f"--batch-size is at most {problem.n_pairs}, the pairs of a seed"
        )
    command = _command(settings, shas, members)
    if settings.out is not None:
        outputs.check(settings.out, command, **_flags(settings))
    entered = [_entered(path, settings, echo) for path in settings.files]
    # as they were executed, should a file have changed in between
    command = _command(settings, {g.key: g.sha256 for g in entered}, members)
    return _Comparison(settings, problem, entered + members, left_out, command)


def _entered(path, settings: Settings, echo: Echo) -> Candidate:
    guest = guests.from_file(path, beta=settings.beta)
    for note in guest.notes:
        echo(f"note on {guest.key}: {note}")
    return guest


def _command(
    settings: Settings, shas: Mapping[str, str], members: Sequence[Candidate]
) -> outputs.Command:
    """What the folder holds; a comparison goes on with the same of everything only."""
    names = ("family", "world", "seeds", "beta", "by")
    card = {name: vars(settings)[name] for name in names} | {
        name: vars(settings.budget)[name] for name in ("steps", "batch_size", "lr")
    }
    keys = [*shas, *(candidate.key for candidate in members)]
    card |= {"methods": keys} | {f"sha256 of {k}.py": v for k, v in shas.items()}
    card |= {f"version of {name}": version for name, version in versions().items()}
    holds = f"a comparison of {len(keys)} objectives"
    return outputs.Command("compare", card, holds, FILES)


def _flags(settings: Settings) -> dict[str, bool]:
    return {"resume": settings.resume, "overwrite": settings.overwrite}


@contextmanager
def _opened(comparison: _Comparison) -> Iterator[outputs.Outputs | None]:
    settings = comparison.settings
    if settings.out is None:
        yield None
        return
    with outputs.opened(settings.out, comparison.command, **_flags(settings)) as folder:
        yield folder


# ---- the comparison, and what it leaves ---------------------------------------


def _train(comparison: _Comparison, results: Results, echo: Echo) -> None:
    settings, budget = comparison.settings, comparison.settings.budget
    echo(
        f"{len(comparison.everyone)} objectives, {settings.world}, {settings.seeds} "
        f"seeds, {budget.steps} steps of {budget.batch_size} pairs, lr {budget.lr:g}"
    )
    if len(results):
        echo(f"{len(results)} of them are done already")
    for number, candidate in enumerate(comparison.everyone, 1):
        if candidate.key not in results:
            frame = fit(candidate, comparison.problem, budget)
            results.add(frame)
            echo(f"[{number}/{len(comparison.everyone)}] {line(frame)}")


def _tell(comparison: _Comparison, table, echo: Echo) -> None:
    echo("")
    echo(markdown(table))
    for key, reason in comparison.left_out.items():
        echo(f"not here: {key}: {reason}")
    for key in comparison.guests:
        rank = int(table.loc[table["method"] == key, "rank"].iloc[0])
        echo(f"{key} is number {rank} of {len(table)} by {comparison.settings.by}")


def _finish(comparison, frame, table, folder: outputs.Outputs, echo: Echo) -> None:
    # seconds are beside: everything else is the same in every repetition
    folder.write(TABLE, table.drop(columns="seconds").to_csv(index=False))
    echo(f"wrote {', '.join(FILES[:-1])} into {folder.folder}")
    if (frame["problem"] == "").any():
        figure = picture(frame, comparison.problem, always=comparison.guests)
        echo(f"wrote {figure.save(folder.path(PICTURE))}")


def _left(settings: Settings, begun: Sequence[Results]) -> str:
    """What is left of a comparison that was stopped, in a sentence."""
    if settings.out is None:
        return "stopped; without --out nothing is kept"
    if not begun:
        return f"stopped before anything was trained; {settings.out} is as it was"
    return (
        f"stopped; {len(begun[0])} of {len(begun[0].methods)} objectives are done and "
        f"kept in {settings.out}; the same command with --resume does the rest"
    )
