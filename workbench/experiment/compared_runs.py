"""Several runs side by side: folders of ``workbench audit`` and ``workbench train``.

Measures that mean the same have one name. They are comparable where the pairs and β are
the same, and a note says where they are not.
"""

import os.path
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.core.errors import BadOption, BadRun
from workbench.core.statistics import interval
from workbench.loops.folder import object_of

RUN_CARDS = "seed-*/run.json"
ADVICE = "make the folder again"
MOST = 20  # lines that can be told apart in a chart
UNITS = {
    "accuracy": "share of pairs",
    "margin": "reward units",
    "chosen": "reward units",
    "rejected": "reward units",
    "calibration error": "",
    "drift": "nats per sequence",
    "sampled length after": "tokens",
    "samples cut": "share of samples",
    "accuracy gap": "share of pairs",
    "gain of proxy reward": "reward units",
    "loss": "",
    "train accuracy": "share of pairs",
    "gold": "reward units",
}
# columns of metrics.csv → those names
TRAINED = {
    "accuracy": "accuracy", "margin": "margin", "chosen": "chosen",
    "rejected": "rejected", "ece": "calibration error", "kl": "drift",
    "length": "sampled length after", "cut": "samples cut", "loss": "loss",
    "train_accuracy": "train accuracy", "gold": "gold",
}  # fmt: skip
Curve = list[tuple[int, float]]


@dataclass(frozen=True)
class OneRun:
    """What a folder says.

    Attributes:
        name: of the run, different from that of every other.
        kind: "audit" or "train".
        values: DataFrame[measure, value, low, high, n]; 95 % intervals over prompts
            (audit) or seeds (train), NaN where there is none.
        curves: measure → its (step, value), means over seeds.
        about: what the numbers depend on: the pairs and β.
    """

    name: str
    kind: str
    values: Any
    curves: Mapping[str, Curve] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)


def read(folders: Sequence[str | Path]) -> list[OneRun]:
    """The runs, in the order that was given.

    Raises:
        BadOption: fewer than two folders, too many, or one of them twice.
        BadRun: a folder is neither an audit nor a training, or is damaged.
    """
    paths = [Path(folder) for folder in folders]
    if len(paths) < 2:
        raise BadOption("name two folders or more: a run is compared with another")
    if len(paths) > MOST:
        raise BadOption(f"at most {MOST} runs side by side, not {len(paths)}")
    for path in paths:
        _check_there(path)
    real = [path.resolve() for path in paths]
    if twice := [path for path in real if real.count(path) > 1]:
        raise BadOption(f"{twice[0]} is named twice")
    names = _names(real)
    return [_one(path, name) for path, name in zip(paths, names, strict=True)]


def one(folder: str | Path) -> OneRun:
    """One run, by the name of its folder.

    Raises:
        BadRun: as ``read``.
    """
    _check_there(Path(folder))
    return _one(Path(folder), Path(folder).name)


def _names(paths: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as it takes to tell them apart."""
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [os.path.normpath(path) for path in paths]


def _check_there(folder: Path) -> None:
    try:
        there = folder.is_dir()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    if not there:
        raise BadRun(folder, "no run", "there is no such folder")


def _one(folder: Path, name: str) -> OneRun:
    for card, make in KINDS.items():
        if (folder / card).is_file():
            return make(folder, name, object_of(folder / card, ADVICE))
    known = " and ".join(KINDS)
    detail = f"it has none of {known}, which workbench audit and train write"
    raise BadRun(folder, "no run", detail)


def _audit(folder: Path, name: str, card: dict) -> OneRun:
    """What an audit measured."""
    import pandas as pd

    columns = ("measure", "value", "low", "high", "n")
    parts = [_table(folder / "summary.csv", columns)]
    kl = _table(folder / "drift.csv", ("estimator", "mean", "low", "high", "n"))
    best = kl[kl["estimator"].isin(("rao-blackwell", "k1"))].tail(1)
    parts.append(best.rename(columns={"mean": "value"}).assign(measure="drift"))
    if (folder / "gap.csv").is_file():
        gap = _table(folder / "gap.csv", ("measure", "gap", "low", "high"))
        gap = gap[gap["measure"] == "accuracy"].assign(measure="accuracy gap")
        parts.append(gap.rename(columns={"gap": "value"}))
    if (folder / "proxy.csv").is_file():
        parts.append(_table(folder / "proxy.csv", columns))
    whole = pd.concat(parts, ignore_index=True).reindex(columns=columns)
    curves = {}
    if (folder / "logged.csv").is_file():
        logged = _table(folder / "logged.csv", ("name", "step", "value"))
        curves = {
            str(key): list(zip(part["step"], part["value"], strict=True))
            for key, part in logged.groupby("name", sort=False)
        }
    return OneRun(name, "audit", _known(whole), curves, _about(card))


def _train(folder: Path, name: str, card: dict) -> OneRun:
    """What the last step of a training measured, over its seeds."""
    import pandas as pd

    frame = _table(folder / "metrics.csv", ("seed", "step"))
    last, rows = frame[frame["step"] == frame["step"].max()], []
    for column, measure in TRAINED.items():
        values = last[column].dropna().tolist() if column in last else []
        if not values:
            continue
        ends = interval(values) if len(values) > 1 else (values[0], None, None)
        named = dict(zip(("value", "low", "high"), ends, strict=True))
        rows.append({"measure": measure, **named, "n": len(values)})
    means = frame.groupby("step").mean(numeric_only=True)
    curves = {
        measure: list(zip(means.index.tolist(), means[column].tolist(), strict=True))
        for column, measure in TRAINED.items()
        if column in means
    }
    columns = ["measure", "value", "low", "high", "n"]
    values = pd.DataFrame(rows, columns=columns)
    numbers = dict.fromkeys(columns[1:4], float)
    # a setting that was not given stands in the run's own card
    configs = [object_of(path, ADVICE) for path in sorted(folder.glob(RUN_CARDS))[:1]]
    config = configs[0].get("method_config") if configs else None
    about = _about(card | {"options": config})
    return OneRun(name, "train", values.astype(numbers), curves, about)


KINDS: dict[str, Callable[[Path, str, dict], OneRun]] = {
    "audit.json": _audit,
    "train.json": _train,
}


def _about(card: dict) -> dict[str, str]:
    """What numbers of different runs have to share."""
    options = card.get("options")
    beta = options.get("beta") if isinstance(options, dict) else card.get("beta")
    place = card.get("pairs") or card.get("world")
    known = {"pairs": place and Path(str(place)).name, "β": beta}
    return {name: str(value) for name, value in known.items() if value is not None}


def _known(values):
    """The measures that are compared, in their order."""
    some = values[values["measure"].isin(UNITS)]
    return some.sort_values("measure", key=lambda names: names.map(list(UNITS).index))


def _table(path: Path, columns: Iterable[str]):
    """A table of ours.

    Raises:
        BadRun: it is missing, or lacks a column of numbers.
    """
    import pandas as pd

    words = {"measure", "estimator", "name"}
    try:
        frame = pd.read_csv(path)
        for column in columns:
            if column not in words:
                frame[column] = pd.to_numeric(frame[column])
            elif not frame[column].map(lambda word: isinstance(word, str)).all():
                raise ValueError(f"{column} holds what is no word")
    except FileNotFoundError:
        detail = f"it has no {path.name}: the command that made it did not end"
        raise BadRun(path.parent, "no run", detail) from None
    except KeyError as error:
        detail = f"{path.name} has no column {error}; {ADVICE}"
        raise BadRun(path.parent, "broken file", detail) from None
    except (OSError, ValueError, TypeError) as error:
        detail = f"{path.name}: {str(error).splitlines()[0]}; {ADVICE}"
        raise BadRun(path.parent, "broken file", detail) from None
    return frame


def long_table(runs: Sequence[OneRun]):
    """DataFrame[run, kind, measure, value, low, high, n, unit], a row per number."""
    import pandas as pd

    parts = [one.values.assign(run=one.name, kind=one.kind) for one in runs]
    whole = pd.concat(parts, ignore_index=True)
    whole["unit"] = whole["measure"].map(UNITS)
    names = ["run", "kind", "measure", "value", "low", "high", "n", "unit"]
    return whole[names].reset_index(drop=True)


def wide_table(runs: Sequence[OneRun]):
    """A row per measure, a column per run, each cell "value [low, high]"."""
    import pandas as pd

    long = long_table(runs)
    cells = [_cell(row) for _, row in long.iterrows()]
    filled = long.assign(cell=cells).drop_duplicates(["run", "measure"])
    wide = filled.pivot(index="measure", columns="run", values="cell")
    present = [name for name in UNITS if name in wide.index]
    wide = wide.reindex(index=present, columns=[one.name for one in runs]).fillna("")
    label = [f"{name} ({UNITS[name]})" if UNITS[name] else name for name in present]
    wide.insert(0, "measure", label)
    return pd.DataFrame(wide.reset_index(drop=True)).rename_axis(columns=None)


def _cell(row) -> str:
    if row["value"] != row["value"]:
        return ""
    ends = f" [{row['low']:.3g}, {row['high']:.3g}]" if row["low"] == row["low"] else ""
    return f"{row['value']:.3g}{ends}"


def curves(runs: Sequence[OneRun]):
    """DataFrame[run, name, step, value], a row per logged number."""
    import pandas as pd

    rows = [
        (one.name, name, *at)
        for one in runs
        for name, curve in one.curves.items()
        for at in curve
    ]
    return pd.DataFrame(rows, columns=["run", "name", "step", "value"])


def notes(runs: Sequence[OneRun]) -> list[str]:
    """Sentences on what the runs do not share."""
    told = []
    for name in ("pairs", "β"):
        values = {o.name: o.about[name] for o in runs if name in o.about}
        if len(set(values.values())) > 1:
            each = ", ".join(f"{run}: {value}" for run, value in values.items())
            told.append(f"the runs have other {name}, and other numbers so ({each})")
    if len({one.kind for one in runs}) > 1:
        told.append(
            "an audit's intervals are over the prompts of --pairs, those of a training "
            "over its seeds, on pairs that were held out"
        )
    return told
