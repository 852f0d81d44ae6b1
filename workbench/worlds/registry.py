"""The worlds that commands know by name: each module that has a ``world_card``."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

from workbench.core.errors import BadOption
from workbench.core.suggest import suggest


@dataclass(frozen=True)
class WorldCard:
    """What ``--world`` takes, and what is usual there.

    Attributes:
        name: the world's name.
        make: ``(max_words) -> World``; None is the world's own size.
        usual: what a comparison of methods takes there unless told otherwise: steps,
            batch_size, lr, n_pairs, held_out_pairs, samples.
        corpus: texts of its author from which a reference is trained where none is
            shipped (``models.tiny.reference``).
        tastes: ``(world) -> [user, prompt, response]``, what each of several users
            perceives, reward units; None where nobody knows.
    """

    name: str
    make: Callable[[int | None], Any]
    usual: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    corpus: int = 20_000
    tastes: Callable[[Any], Any] | None = None


@cache
def worlds() -> dict[str, WorldCard]:
    """Every world by its name, in the order of their files."""
    package = importlib.import_module("workbench.worlds")
    found = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda i: i.name):
        if info.name == "registry":
            continue
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        card = vars(module).get("world_card")
        if isinstance(card, WorldCard):
            found[card.name] = card
    return found


def world_of(name: str) -> WorldCard:
    """The world with this name.

    Raises:
        BadOption: there is none; the message lists those there are.
    """
    known = worlds()
    if name not in known:
        near = suggest(name, known)
        raise BadOption(f"--world is {' or '.join(known)}, not {name!r}{near}")
    return known[name]
