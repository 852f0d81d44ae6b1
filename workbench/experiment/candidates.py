"""Who takes part: a method with its settings, of the library or from a user's file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench import catalogue
from workbench.catalogue.index import family_of
from workbench.core.card import Card
from workbench.core.errors import BadOption, MissingInput
from workbench.core.suggest import suggest
from workbench.experiment import needs
from workbench.feedback.kind import batch_class, kind_of


@dataclass(frozen=True)
class Candidate:
    """A method with its settings; a loop takes it as the method itself.

    Attributes:
        card: what the method is called and how it is joined to the rest.
        loss: ``loss(batch, cfg)``, one value per example.
        cfg: its settings.
        reads: the class of batches that it reads.
        hooks: the functions that its card names.
        notes: sentences for the user, such as a generic property that it lacks.
        file: where an objective of the user comes from; None for the library's.
        sha256: of that file, as it was executed.
    """

    card: Card
    loss: Callable
    cfg: Any
    reads: type
    hooks: Mapping[str, Callable] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    file: Path | None = None
    sha256: str = ""

    @property
    def key(self) -> str:
        """Its name in the table."""
        return self.card.key

    @property
    def outside(self) -> bool:
        """Whether it comes from a file of the user."""
        return self.file is not None

    @property
    def learns_from(self) -> str:
        """What it learns from, in a word: pairs, thumbs, lists, scores, tokens …"""
        return "own" if "prepare" in self.hooks else kind_of(self.reads).name


def candidate(module: ModuleType, cfg: Any) -> Candidate:
    """A method of the library with its settings."""
    hooks = {name: vars(module)[name] for name in module.card.hooks}
    return Candidate(module.card, module.loss, cfg, batch_class(module.loss), hooks)


def candidates(
    family: str, beta: float | None = None
) -> tuple[list[Candidate], dict[str, str]]:
    """Every method of a family that trains a policy, from labels or from its own.

    Args:
        family: a folder of ``workbench.methods``, such as direct or direct/links.
        beta: replaces ``beta`` in every Config that has one, unless the card says that
            another field is its scale; the published defaults if None.

    Returns:
        the candidates; and the reason of each method that cannot take part, by key.

    Raises:
        BadOption: there is no such family, or nothing in it learns so.
    """
    check_family(family)
    found, left_out = [], {}
    for module in _modules(family):
        reason = _obstacle(module)
        if reason:
            left_out[module.card.key] = reason
        else:
            # RSO's β is the temperature of its sampling, and γ is what DPO calls β
            other = beta if module.card.scale in (None, "beta") else None
            found.append(candidate(module, with_beta(module.Config(), other)))
    return found, left_out


def check_family(family: str) -> None:
    """Whether a family has methods to rank.

    Raises:
        BadOption: there is no such family, or nothing in it learns from labels.
    """
    paths = [family_of(m.__name__) for m in catalogue.methods().values()]
    known = sorted({p for path in paths for p in (path, path.partition("/")[0])})
    if family not in known:
        near = suggest(family, known)
        tops = sorted({path.partition("/")[0] for path in paths})
        raise BadOption(f"no family {family!r}; there are {', '.join(tops)}{near}")
    if all(_obstacle(module) for module in _modules(family)):
        tops = sorted({path.partition("/")[0] for path in paths})
        taken = [f for f in tops if not all(map(_obstacle, _modules(f)))]
        raise BadOption(
            f"compare ranks methods that train a policy, which no method of the family "
            f"{family} does; the families it takes are {', '.join(taken)}"
        )


def choose(
    only: Sequence[str], members: Sequence[Candidate], left_out: Mapping[str, str]
) -> list[Candidate]:
    """Some of a family's methods, in the order they are asked for.

    Args:
        only: their keys.
        members, left_out: of ``candidates``.

    Raises:
        BadOption: a key is unknown, cannot take part, or stands there twice.
    """
    by_key = {one.key: one for one in members}
    for key in only:
        if key in left_out:
            raise BadOption(f"{key} cannot take part: {left_out[key]}")
        if key not in by_key:
            raise BadOption(_unknown(key, by_key))
    twice = sorted({key for key in only if only.count(key) > 1})
    if twice:
        raise BadOption(f"--only: {', '.join(twice)} twice")
    return [by_key[key] for key in only]


def _unknown(key: str, by_key: Mapping[str, Candidate]) -> str:
    elsewhere = catalogue.methods().get(key)
    if elsewhere is not None:
        family = family_of(elsewhere.__name__).partition("/")[0]
        return f"--only: {key} is a method of --family {family}"
    return f"--only: no method {key!r} in this family{suggest(key, by_key)}"


def with_beta(cfg: Any, beta: float | None) -> Any:
    """The same settings with another β, where they have one.

    Args:
        cfg: a dataclass, or anything else, which stays as it is.
        beta: reward units per nat; None for the settings' own.
    """
    names = {field.name for field in fields(cfg)} if is_dataclass(cfg) else set()
    return replace(cfg, beta=beta) if beta is not None and "beta" in names else cfg


def _modules(family: str) -> list[ModuleType]:
    return [
        module
        for module in catalogue.methods().values()
        if f"{family_of(module.__name__)}/".startswith(f"{family}/")
    ]


def _obstacle(module: ModuleType) -> str | None:
    """Why a method of the library cannot take part, in a sentence."""
    where = f"notebook {module.card.notebook} shows it"
    if module.card.loop is None:
        return f"it has no loss on labels, but a closed form; {where}"
    if module.card.loop.TRAINS != "policy":
        return f"it trains no policy, but a {module.card.loop.TRAINS}; {where}"
    try:
        needs.check_labels(module, needs.WORLD, "a world")
    except MissingInput as error:
        return f"{error}; {where}"
    return None
