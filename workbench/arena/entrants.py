"""Who takes part: one objective with its settings, and the methods of a family."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from workbench import catalogue
from workbench.core.errors import BadOption, MissingInput
from workbench.core.suggest import suggest
from workbench.feedback.kind import batch_class
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.feedback.labels import kind


@dataclass(frozen=True)
class Entrant:
    """One objective with its settings.

    Attributes:
        key: its name in the table.
        loss: ``loss(batch, cfg)``, one value per example.
        cfg: its settings.
        batch_class: what it reads.
        notes: sentences for the user, such as a generic property that it lacks.
        reward: ``reward(responses, cfg)`` of the module, if it has one.
        stage: makes the module's own data or model, if it needs them.
        file: where an objective of the user comes from; None for the library's.
        sha256: of that file, as it was executed.
    """

    key: str
    loss: Callable
    cfg: Any
    batch_class: type
    notes: tuple[str, ...] = ()
    reward: Callable | None = None
    stage: Callable | None = None
    file: Path | None = None
    sha256: str = ""

    @property
    def outside(self) -> bool:
        """Whether it comes from a file of the user."""
        return self.file is not None

    def score(self, responses: ResponseLogps) -> Tensor:
        """The implicit reward: the module's own, or β times the log-ratio."""
        if self.reward is not None:
            return self.reward(responses, self.cfg)
        return self.beta * responses.logratio()

    @property
    def beta(self) -> float:
        """Reward units per nat of log-ratio; 1 where the settings name none."""
        return float(getattr(self.cfg, "beta", 1.0))

    @property
    def card(self) -> "Entrant":
        """What a loop asks of a method: ``card.key``."""
        return self


def entrants(
    family: str, beta: float | None = None
) -> tuple[list[Entrant], dict[str, str]]:
    """Every method of a family that has a loss on labels.

    Args:
        family: a folder of ``workbench.methods``.
        beta: replaces ``beta`` in every Config that has one; the published defaults if
            None.

    Returns:
        the entrants; and the reason of each method that cannot take part, by key.

    Raises:
        BadOption: there is no such family, or nothing in it has such a loss.
    """
    check_family(family)
    found, left_out = [], {}
    for module in _modules(family):
        key, held = module.card.key, vars(module)
        reason = _obstacle(module)
        if reason:
            left_out[key] = reason
            continue
        own = {"reward": held.get("reward"), "stage": held.get("stage")}
        cfg, reads = with_beta(module.Config(), beta), batch_class(module.loss)
        found.append(Entrant(key, module.loss, cfg, reads, **own))
    return found, left_out


def check_family(family: str) -> None:
    """Whether a family has methods to rank.

    Raises:
        BadOption: there is no such family, or nothing in it has a loss on labels.
    """
    known = sorted({m.card.family for m in catalogue.methods().values()})
    if family not in known:
        near = suggest(family, known)
        raise BadOption(f"no family {family!r}; there are {', '.join(known)}{near}")
    if all(_obstacle(module) for module in _modules(family)):
        taken = [f for f in known if not all(map(_obstacle, _modules(f)))]
        raise BadOption(
            f"compare ranks methods with a loss on labels, which no method of the "
            f"family {family} has; the families it takes are {' and '.join(taken)}"
        )


def choose(
    only: Sequence[str], members: Sequence[Entrant], left_out: Mapping[str, str]
) -> list[Entrant]:
    """Some of a family's methods, in the order they are asked for.

    Args:
        only: their keys.
        members, left_out: of ``entrants``.

    Raises:
        BadOption: a key is unknown, cannot take part, or stands there twice.
    """
    by_key = {entrant.key: entrant for entrant in members}
    for key in only:
        if key in left_out:
            raise BadOption(f"{key} cannot take part: {left_out[key]}")
        if key not in by_key:
            raise BadOption(_unknown(key, by_key))
    twice = sorted({key for key in only if only.count(key) > 1})
    if twice:
        raise BadOption(f"--only: {', '.join(twice)} twice")
    return [by_key[key] for key in only]


def _unknown(key: str, by_key: Mapping[str, Entrant]) -> str:
    elsewhere = catalogue.methods().get(key)
    if elsewhere is not None:
        return f"--only: {key} is a method of --family {elsewhere.card.family}"
    return f"--only: no method {key!r} in this family{suggest(key, by_key)}"


def with_beta(cfg: Any, beta: float | None) -> Any:
    """The same settings with another β, where they have one.

    Args:
        cfg: a dataclass, or anything else, which stays as it is.
        beta: reward units per nat; None for the settings' own.
    """
    held = {field.name for field in fields(cfg)} if is_dataclass(cfg) else set()
    return replace(cfg, beta=beta) if beta is not None and "beta" in held else cfg


def _modules(family: str) -> list[ModuleType]:
    return [m for m in catalogue.methods().values() if m.card.family == family]


def _obstacle(module: ModuleType) -> str | None:
    """Why a method of the library cannot take part, in a sentence."""
    where = f"notebook {module.card.notebook} shows it"
    if "loss" not in vars(module):
        return f"it has no loss on labels, but a closed form; {where}"
    if "stage" in vars(module):
        return None
    try:
        kind(batch_class(module.loss))
    except MissingInput as error:
        return f"{error}; {where}"
    return None
