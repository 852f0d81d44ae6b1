"""What `workbench compare` does, without the command line."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from workbench.arena import guests
from workbench.arena.contest import enter, line
from workbench.arena.entrants import Entrant, check_family, choose, entrants
from workbench.arena.grounds import Ground
from workbench.arena.picture import picture
from workbench.arena.results import FILES, PICTURE, TABLE, Results
from workbench.arena.settings import WORLDS, Settings
from workbench.arena.standings import check_order, markdown, orders, standings
from workbench.core import ending, outputs
from workbench.core.errors import BadOption
from workbench.loops.snapshots import versions

__all__ = ["Settings", "run"]

Echo = Callable[[str], None]


@dataclass(frozen=True)
class _Contest:
    """Everything that was asked for, and found to be possible."""

    settings: Settings
    ground: Ground
    everyone: Sequence[Entrant]
    left_out: Mapping[str, str]
    command: outputs.Command

    @property
    def guests(self) -> list[str]:
        return [entrant.key for entrant in self.everyone if entrant.outside]


def run(settings: Settings, echo: Echo):
    """Run the contest and print the table.

    Args:
        settings: what the user asked for; all of it is checked before any training.
        echo: where sentences for the user go.

    Returns:
        the standings, a DataFrame.

    Raises:
        WorkbenchError: a bad option, a folder that cannot be used, or a file that holds
            no objective.
    """
    begun: list[Results] = []
    try:
        contest = _prepare(settings, echo)
        with _opened(contest) as folder:
            begun.append(Results(contest.ground.seeds, contest.everyone, folder))
            _train(contest, begun[0], echo)
            frame = begun[0].frame
            table = standings(frame, settings.by)
            _tell(contest, table, echo)
            if folder is not None:
                _finish(contest, frame, table, folder, echo)
    except KeyboardInterrupt:
        ending.say(_left(settings, begun))
        raise
    return table


# ---- before anything is trained -----------------------------------------------------


def _prepare(settings: Settings, echo: Echo) -> _Contest:
    """Options first, then the folder, then the user's files, which are executed."""
    settings.check()
    check_family(settings.family)
    members, left_out = entrants(settings.family, settings.beta)
    taken = [entrant.key for entrant in members] + list(left_out)
    if settings.only:
        members, left_out = choose(settings.only, members, left_out), {}
    shas = guests.check_files(settings.files, taken)
    ground = WORLDS[settings.world].ground(range(settings.seeds))
    check_order(settings.by, orders(ground.is_exact))
    if settings.budget.batch_size > ground.n:
        raise BadOption(f"--batch-size is at most {ground.n}, the pairs of a seed")
    command = _command(settings, shas, members)
    if settings.out is not None:
        outputs.check(settings.out, command, **_flags(settings))
    entered = [_entered(path, settings, echo) for path in settings.files]
    # as they were executed, should a file have changed in between
    command = _command(settings, {g.key: g.sha256 for g in entered}, members)
    return _Contest(settings, ground, entered + members, left_out, command)


def _entered(path, settings: Settings, echo: Echo) -> Entrant:
    guest = guests.from_file(path, beta=settings.beta)
    for note in guest.notes:
        echo(f"note on {guest.key}: {note}")
    return guest


def _command(
    settings: Settings, shas: Mapping[str, str], members: Sequence[Entrant]
) -> outputs.Command:
    """What the folder holds; a contest goes on with the same of everything only."""
    names = ("family", "world", "seeds", "beta", "by")
    card = {name: vars(settings)[name] for name in names} | vars(settings.budget)
    keys = [*shas, *(entrant.key for entrant in members)]
    card |= {"methods": keys} | {f"sha256 of {k}.py": v for k, v in shas.items()}
    card |= {f"version of {name}": said for name, said in versions().items()}
    holds = f"a contest of {len(keys)} objectives"
    return outputs.Command("compare", card, holds, FILES)


def _flags(settings: Settings) -> dict[str, bool]:
    return {"resume": settings.resume, "overwrite": settings.overwrite}


@contextmanager
def _opened(contest: _Contest) -> Iterator[outputs.Outputs | None]:
    settings = contest.settings
    if settings.out is None:
        yield None
        return
    with outputs.opened(settings.out, contest.command, **_flags(settings)) as folder:
        yield folder


# ---- the contest, and what it leaves ------------------------------------------------


def _train(contest: _Contest, results: Results, echo: Echo) -> None:
    settings, budget = contest.settings, contest.settings.budget
    echo(
        f"{len(contest.everyone)} objectives, {settings.world}, {settings.seeds} "
        f"seeds, {budget.steps} steps of {budget.batch_size} pairs, lr {budget.lr:g}"
    )
    if len(results):
        echo(f"{len(results)} of them are done already")
    for number, entrant in enumerate(contest.everyone, 1):
        if entrant.key not in results:
            frame = enter(entrant, contest.ground, budget)
            results.add(frame)
            echo(f"[{number}/{len(contest.everyone)}] {line(frame)}")


def _tell(contest: _Contest, table, echo: Echo) -> None:
    echo("")
    echo(markdown(table))
    for key, reason in contest.left_out.items():
        echo(f"not here: {key}: {reason}")
    for key in contest.guests:
        rank = int(table.loc[table["method"] == key, "rank"].iloc[0])
        echo(f"{key} is number {rank} of {len(table)} by {contest.settings.by}")


def _finish(contest, frame, table, folder: outputs.Outputs, echo: Echo) -> None:
    # seconds are beside: everything else is the same in every repetition
    folder.write(TABLE, table.drop(columns="seconds").to_csv(index=False))
    echo(f"wrote {', '.join(FILES[:-1])} into {folder.folder}")
    if (frame["problem"] == "").any():
        figure = picture(frame, contest.ground, always=contest.guests)
        echo(f"wrote {figure.save(folder.path(PICTURE))}")


def _left(settings: Settings, begun: Sequence[Results]) -> str:
    """What is left of a contest that was stopped, in a sentence."""
    if settings.out is None:
        return "stopped; without --out nothing is kept"
    if not begun:
        return f"stopped before anything was trained; {settings.out} is as it was"
    return (
        f"stopped; {len(begun[0])} of {len(begun[0].methods)} objectives are done and "
        f"kept in {settings.out}; the same command with --resume does the rest"
    )
