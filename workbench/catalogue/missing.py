"""What is missing from a method's module or card, in sentences."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from workbench.catalogue.clone import ROOT, is_clone, sources
from workbench.catalogue.collect import ENTRY_POINTS, known_mistakes, methods
from workbench.catalogue.skeleton import HEADINGS
from workbench.core.card import HOOKS

# how a paper is found: arXiv number, DOI, venue and year, or a note's address
IDENTIFIERS = (
    r"\b\d\d(0[1-9]|1[0-2])\.\d{4,5}\b",
    r"\b10\.\d{4,9}/\S+",
    r"\([A-Z][^()]*\b(19|20)\d\d\)",
    r"\b[a-z][\w-]*(\.[a-z][\w-]*)+/\S+",
)


def problems(module: ModuleType) -> list[str]:
    """What is missing from a method's module, in sentences; empty if nothing is."""
    found = [
        *_skeleton_problems(module),
        *_mistake_problems(module),
        *_card_problems(module),
        *_field_problems(module),
        *_hook_problems(module),
    ]
    if not any(callable(vars(module).get(entry)) for entry in ENTRY_POINTS):
        found.append(f"it defines none of {', '.join(ENTRY_POINTS)}")
    return [f"{module.__name__}: {problem}" for problem in found]


def all_problems(
    found: dict[str, ModuleType] | None = None, root: Path = ROOT
) -> list[str]:
    """The problems of every method, parents that no card has, and missing lessons.

    Args:
        found: the methods by key; all unless told.
        root: the clone with the lessons. An installed package has none: there it is
            not asked whether the lesson of a card exists.
    """
    found = methods() if found is None else found
    listed = [problem for module in found.values() for problem in problems(module)]
    lessons = {path.stem.partition("_")[0] for path in sources(root)}
    for key, module in found.items():
        strangers = [p for p in module.card.parents if p not in found]
        listed += [f"{key}: no method has its parent's key {p!r}" for p in strangers]
        number = module.card.notebook
        if is_clone(root) and number not in lessons:
            listed.append(f"{key}: notebooks/src has no lesson {number!r} of its card")
    return listed


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


def _card_problems(module: ModuleType) -> Iterator[str]:
    """Is the card filled in, and can its paper be found?"""
    card, name = module.card, module.__name__.rpartition(".")[2]
    if card.key != name:
        yield f"the card's key {card.key!r} is not the module's name {name!r}"
    for field in ("title", "paper", "check", "claim"):
        if not getattr(card, field):
            yield f"the card's {field} is empty"
    if not any(re.search(pattern, card.paper) for pattern in IDENTIFIERS):
        yield (
            f"the card's paper {card.paper!r} has no identifier: an arXiv number, a "
            "DOI, a venue and year in brackets, or an address"
        )
    if not re.search(r"\b(18|19|20)\d\d\b", re.sub(r"\(.*?\)", "", card.paper)):
        yield f"the card's paper {card.paper!r} has no year before its identifier"


def _field_problems(module: ModuleType) -> Iterator[str]:
    """Is there a Config, and has it the fields that the card names?"""
    config, card = vars(module).get("Config"), module.card
    if not (dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen):
        yield "there is no frozen dataclass Config"
        return
    fields = [field.name for field in dataclasses.fields(config)]
    # a field and a hook that both tell the same would be two truths
    told = {"scale": "implicit_reward", "optimum": "optimum"}
    for name, hook in told.items():
        field = getattr(card, name)
        if field is not None and field not in fields:
            yield f"the card's {name} {field!r} is no field of Config"
        if field is not None and hook in card.hooks:
            yield f"the card has the field {name} and the hook {hook}: leave one out"


def _hook_problems(module: ModuleType) -> Iterator[str]:
    """Do card, module and loop agree on the hooks?"""
    card, loop = module.card, module.card.loop
    has = [name for name in HOOKS if callable(vars(module).get(name))]
    for name in has:
        if name not in card.hooks:
            yield f"it has the hook {name}, which its card does not name"
    for name in card.hooks:
        if name not in has:
            yield f"the card names the hook {name}, which the module does not have"
    if loop is None:
        return
    known = vars(loop).get("HOOKS") if isinstance(loop, ModuleType) else None
    if known is None:
        yield f"the card's loop {loop!r} is no module of workbench.loops"
        return
    title = loop.__name__.rpartition(".")[2]
    for name in card.hooks:
        if name not in known:
            yield f"the loop {title} does not know the hook {name}"
    for name, must in known.items():
        if must and name not in card.hooks:
            yield f"the loop {title} cannot do without the hook {name}"
