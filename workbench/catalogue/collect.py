"""The methods, collected from their cards."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from workbench.catalogue.index import Entry, card_fields, cards, place
from workbench.catalogue.skeleton import numbered_mistakes, section_text
from workbench.core.card import Card

# a method is used through one of these; a loop or a sampler calls it
ENTRY_POINTS = ("loss", "log_distribution", "next_token_logits", "backup")


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    for name in sorted(info.name for info in found):
        yield importlib.import_module(name)


def methods(package: ModuleType | None = None) -> dict[str, ModuleType]:
    """Every method module by its key, by family and then by notebook.

    Args:
        package: where to look; ``workbench.methods`` unless told.

    Raises:
        ValueError: two modules share a key.
    """
    package = package or importlib.import_module("workbench.methods")
    found: dict[str, ModuleType] = {}
    for module in _modules(package):
        card = vars(module).get("card")
        if not isinstance(card, Card):
            continue
        if card.key in found:
            there = found[card.key].__name__
            raise ValueError(f"key {card.key} is in {there} and {module.__name__}")
        found[card.key] = module

    def stands(module: ModuleType) -> tuple[int, int, str, str]:
        return place(module.card, module.__name__)

    return {m.card.key: m for m in sorted(found.values(), key=stands)}


def section(module: ModuleType, heading: str) -> str:
    """The text below one heading of a method's docstring, on one line.

    Args:
        module: a method.
        heading: how the heading begins, e.g. ``"Objective"`` or ``"Compared with"``.
    """
    return section_text(inspect.getdoc(module) or "", heading)


def known_mistakes(module: ModuleType) -> dict[int, str]:
    """The numbered mistakes of a method's docstring: number to sentence."""
    return numbered_mistakes(inspect.getdoc(module) or "")


def entry_point(module: ModuleType) -> str:
    """The name of a method's main function: loss, distribution, logits or backup."""
    return next(name for name in ENTRY_POINTS if name in vars(module))


def entry(module: ModuleType) -> Entry:
    """A method that is imported as ``index.cards`` would read it off its file."""
    return Entry(module.card, module.__name__, inspect.getdoc(module) or "")


def table(found: dict[str, ModuleType] | None = None) -> list[dict[str, str]]:
    """One row per method, every field as text; read off the files unless told."""
    entries = cards().values() if found is None else map(entry, found.values())
    return [
        {name: _text(value) for name, value in card_fields(each).items()}
        for each in entries
    ]


def _text(value: object) -> str:
    """A field of a card as text; what it does not have is empty."""
    if value is None:
        return ""
    return ", ".join(value) if isinstance(value, tuple) else str(value)
