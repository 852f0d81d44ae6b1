"""What `workbench compare` does, without the command line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.arena.contest import Budget, compare
from workbench.arena.entrants import Entrant, entrants, from_file
from workbench.arena.grounds import Ground, of_reviews, of_stories
from workbench.arena.picture import picture
from workbench.arena.standings import markdown, standings
from workbench.core.errors import BadOption

# small models on short answers learn fast; long answers need smaller steps
BUDGETS = {"reviews": Budget(), "stories": Budget(steps=24, batch_size=16, lr=2e-4)}
GROUNDS = {"reviews": of_reviews, "stories": of_stories}


@dataclass(frozen=True)
class Settings:
    """What the user asked for.

    Attributes:
        family: a folder of methods.
        files: objectives of the user, one a file.
        world: reviews or stories.
        seeds: how many.
        steps, batch_size, lr: the budget; the world's own if None.
        beta: replaces every ``beta``; published defaults if None.
        only: keys of methods; all of the family if empty.
        by: column the table is sorted by.
        out: folder of CSV and figure; nothing is written if None.
    """

    family: str = "offline"
    files: Sequence[Path] = ()
    world: str = "reviews"
    seeds: int = 3
    steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    beta: float | None = None
    only: Sequence[str] = ()
    by: str = "gold"
    out: Path | None = None


def run(settings: Settings, echo: Callable[[str], None]) -> None:
    """Run the contest and print the table.

    Raises:
        WorkbenchError: a bad option, or a file that holds no objective.
    """
    # files first: their mistakes are told before anything is trained
    guests = [from_file(path) for path in settings.files]
    for guest in guests:
        for note in guest.notes:
            echo(f"note on {guest.key}: {note}")
    members, left_out = _members(settings)
    taken = {entrant.key for entrant in members}
    twice = sorted({g.key for g in guests} & (taken | set(left_out)))
    if twice:
        raise BadOption(f"{', '.join(twice)} is a method's key; rename the file")
    ground = _ground(settings)
    budget = _budget(settings)
    everyone = guests + members
    echo(
        f"{len(everyone)} objectives, {settings.world}, {settings.seeds} seeds, "
        f"{budget.steps} steps of {budget.batch_size} pairs, lr {budget.lr:g}"
    )
    done = []

    def progress(line: str) -> None:
        done.append(line)
        echo(f"[{len(done)}/{len(everyone)}] {line}")

    frame = compare(everyone, ground, budget, progress)
    table = standings(frame, settings.by)
    echo("")
    echo(markdown(table))
    for key, reason in left_out.items():
        echo(f"not here: {key}: {reason}")
    for guest in guests:
        rank = int(table.loc[table["method"] == guest.key, "rank"].iloc[0])
        echo(f"{guest.key} is number {rank} of {len(table)} by {settings.by}")
    if settings.out is not None:
        _write(settings.out, frame, table, echo)
        always = [guest.key for guest in guests]
        figure = picture(frame, ground, always=always)
        echo(f"wrote {figure.save(settings.out / 'arena.png')}")


def _members(settings: Settings) -> tuple[list[Entrant], dict[str, str]]:
    members, left_out = entrants(settings.family, settings.beta)
    if not settings.only:
        return members, left_out
    by_key = {entrant.key: entrant for entrant in members}
    for key in settings.only:
        if key in left_out:
            raise BadOption(f"{key} cannot take part: {left_out[key]}")
        if key not in by_key:
            raise BadOption(f"no method {key!r} in {settings.family}")
    return [by_key[key] for key in settings.only], {}


def _ground(settings: Settings) -> Ground:
    if settings.world not in GROUNDS:
        known = " or ".join(GROUNDS)
        raise BadOption(f"--world is {known}, not {settings.world!r}")
    if settings.seeds < 1:
        raise BadOption("--seeds is at least 1")
    return GROUNDS[settings.world](range(settings.seeds))


def _budget(settings: Settings) -> Budget:
    own = BUDGETS[settings.world]
    given = {
        name: value
        for name in ("steps", "batch_size", "lr")
        if (value := vars(settings)[name]) is not None
    }
    if any(value <= 0 for value in given.values()):
        raise BadOption("--steps, --batch-size and --lr are positive")
    return Budget(**vars(own) | given)


def _write(out: Path, frame, table, echo: Callable[[str], None]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    frame.to_csv(out / "runs.csv", index=False)
    table.to_csv(out / "standings.csv", index=False)
    echo(f"wrote {out / 'runs.csv'} and {out / 'standings.csv'}")
