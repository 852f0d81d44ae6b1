"""The methods, collected from their cards, and what is missing from each."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType

from workbench.catalogue.index import cards, place
from workbench.catalogue.skeleton import HEADINGS, numbered_mistakes, section_text
from workbench.core.card import Card

# a method is used through one of these; a loop or a sampler calls it
ENTRY_POINTS = ("loss", "log_law", "next_token_logits", "backup")


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

    def stands(module: ModuleType) -> tuple[int, str, str]:
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


def problems(module: ModuleType) -> list[str]:
    """What is missing from a method's module, in sentences; empty if nothing is."""
    held, card = vars(module), module.card
    *_, family, name = ("", *module.__name__.split("."))
    found = [*_skeleton_problems(module), *_mistake_problems(module)]
    if card.key != name:
        found.append(f"the card's key {card.key!r} is not the module's name {name!r}")
    if card.family != family:
        found.append(f"the card's family {card.family!r} is not the folder {family!r}")
    empty = [f for f in ("title", "paper", "check", "claim") if not getattr(card, f)]
    found += [f"the card's {field} is empty" for field in empty]
    config = held.get("Config")
    if not (dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen):
        found.append("there is no frozen dataclass Config")
    if not any(callable(held.get(entry)) for entry in ENTRY_POINTS):
        found.append(f"it defines none of {', '.join(ENTRY_POINTS)}")
    return [f"{module.__name__}: {problem}" for problem in found]


def _skeleton_problems(module: ModuleType) -> list[str]:
    doc = inspect.getdoc(module) or ""
    places = [
        (title, match.start() if (match := re.search(pattern, doc, re.M)) else None)
        for title, pattern in HEADINGS
    ]
    missing = [title for title, place in places if place is None]
    if missing:
        return [f"the docstring has no heading {title!r}" for title in missing]
    starts = [place for _, place in places]
    if starts != sorted(starts):
        return ["the headings of the docstring are out of order"]
    if not doc[: starts[0]].strip():
        return ["the docstring does not begin with one line on the method"]
    return []


def _mistake_problems(module: ModuleType) -> list[str]:
    numbers = list(known_mistakes(module))
    found = []
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        found.append(f"the known mistakes are numbered {numbers}")
    if not {"loss", "mistakes"} & set(vars(module)):
        return found
    runnable = [
        int(m.group()) if (m := re.match(r"\d+", key)) else key
        for key in vars(module).get("mistakes", {})
    ]
    if runnable != numbers:
        found.append(f"mistakes has {runnable}, the docstring numbers {numbers}")
    return found


def entry_point(module: ModuleType) -> str:
    """The name of what a method is used through: its loss, law, logits or backup."""
    return next(name for name in ENTRY_POINTS if name in vars(module))


def all_problems(found: dict[str, ModuleType] | None = None) -> list[str]:
    """The problems of every method, and parents that no card has."""
    found = methods() if found is None else found
    listed = [problem for module in found.values() for problem in problems(module)]
    for key, module in found.items():
        strangers = [p for p in module.card.parents if p not in found]
        listed += [f"{key}: no method has its parent's key {p!r}" for p in strangers]
    return listed


def table(found: dict[str, ModuleType] | None = None) -> list[dict[str, str]]:
    """One row a method, every field as text; read off the files unless told."""
    if found is None:
        held = [(entry.card, entry.module) for entry in cards().values()]
    else:
        held = [(module.card, module.__name__) for module in found.values()]
    return [
        {
            name: ", ".join(value) if isinstance(value, tuple) else str(value)
            for name, value in dataclasses.asdict(card).items()
        }
        | {"module": module}
        for card, module in held
    ]
