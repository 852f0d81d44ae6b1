"""The cards as they stand in the files: listing methods imports none of them.

A card that is more than a call of ``Card`` with literals and the name of a loop cannot
be read off the text; then that one module is imported. A card that was read holds its
loop as a dotted name, one that was imported holds the module.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from types import ModuleType
from typing import Any

from workbench.catalogue.skeleton import compared, numbered_mistakes, section_text
from workbench.catalogue.source import Source, Unclear, read
from workbench.core.card import Card

LOOPS = "workbench.loops"
# the folders of ``methods``, in the order of every list
FAMILIES = {
    "supervised": "Supervised",
    "reward": "Reward models",
    "direct": "Direct preference optimisation",
    "policy_gradient": "Policy gradients",
    "iterative": "Rounds of own responses",
    "games": "Games and self-play",
    "values": "Values and planning",
    "decoding": "Decoding",
}
# the folders within them, where there are any, in the same order
GROUPS = {
    "reward/pairwise": "one score",
    "reward/rankings": "whole rankings",
    "reward/preferences": "preferences without scores",
    "reward/ensemble": "several models",
    "reward/personal": "many users",
    "direct/links": "pairs: links",
    "direct/pessimism": "pairs: pessimism",
    "direct/noise": "pairs: noisy labels",
    "direct/length": "pairs: length",
    "direct/unpaired": "single responses",
    "direct/lists": "lists of scored responses",
    "direct/weighted": "weighted responses",
    "direct/tokens": "tokens and steps",
    "direct/data": "data of their own",
    "policy_gradient/reinforce": "one step per batch",
    "policy_gradient/ppo": "clipped ratios",
    "policy_gradient/group": "groups of responses",
}


@dataclass(frozen=True)
class Entry:
    """A method as its file describes it.

    Attributes:
        card: its card.
        module: full name of its module.
        doc: the module's docstring, without its indentation.
    """

    card: Card
    module: str
    doc: str

    def section(self, heading: str) -> str:
        """The text below one heading of the docstring, on one line."""
        return section_text(self.doc, heading)

    @property
    def family(self) -> str:
        """Its folder below ``methods``, such as ``direct/links``."""
        return family_of(self.module)

    @property
    def loop(self) -> str:
        """The name of the loop that trains it; empty where nothing is trained."""
        return loop_name(self.card)

    @property
    def objective(self) -> str:
        """What is minimised, on one line."""
        return self.section("Objective")

    @property
    def compared(self) -> str:
        """What the docstring compares it with, by name."""
        return compared(self.doc)

    @property
    def rests_at(self) -> str:
        """The heading below which its docstring says where it ends."""
        return "Fixed point" if self.section("Fixed point") else "Minimiser"

    @property
    def mistakes(self) -> dict[int, str]:
        """The known mistakes by number."""
        return numbered_mistakes(self.doc)

    @property
    def names(self) -> tuple[str, ...]:
        """What the method is called, its key first.

        The title as a whole, before its comma and in its brackets, and the word that
        the docstring begins with: ``length_dpo`` is ``R-DPO``.
        """
        title = self.card.title
        brackets = re.findall(r"\(([^)]*)\)", title)
        first, colon, _ = self.doc.partition("\n")[0].partition(":")
        names = (self.card.key, title, re.split(r", | \(", title)[0], *brackets)
        return tuple(dict.fromkeys((*names, first) if colon else names))


def family_of(module: str) -> str:
    """The folder of a module below ``methods``, such as ``direct/links``."""
    *_, path = module.split(".methods.", 1)
    return "/".join(path.split(".")[:-1])


def loop_name(card: Card) -> str:
    """The last name of the loop that a card names; empty if it names none."""
    # in a card that was read off its file the loop is a dotted name
    named = card.loop if isinstance(card.loop, str | None) else card.loop.__name__
    return (named or "").rpartition(".")[2]


def group_title(family: str) -> str:
    """What a group is called; empty for a family that has none."""
    return GROUPS.get(family, family.partition("/")[2])


def family_title(family: str) -> str:
    """What a folder is called: its family, and its group if it is one."""
    top = family.partition("/")[0]
    return " · ".join(filter(None, (FAMILIES.get(top, top), group_title(family))))


def card_fields(entry: Entry) -> dict[str, Any]:
    """The fields of a method's card, its family and its module, as JSON can hold them.

    ``loop`` is the loop's name, None where nothing is trained.
    """
    card = asdict(replace(entry.card, loop=entry.loop or None))
    return card | {"family": entry.family, "module": entry.module}


def place(card: Card, module: str) -> tuple[int, int, str, str]:
    """Where a method stands in every list: by family, group, lesson and file."""
    family = family_of(module)
    top, groups = family.partition("/")[0], list(GROUPS)
    order = list(FAMILIES)
    return (
        order.index(top) if top in order else len(order),
        groups.index(family) if family in groups else len(groups),
        card.notebook,
        module,
    )


def plain(name: str) -> str:
    """A name as it is compared: upper and lower case, dashes and spaces are alike."""
    return re.sub(r"[\s_‐‑–—-]+", "_", name.strip().casefold())


def cards(package: ModuleType | None = None) -> dict[str, Entry]:
    """Every method by its key, by family and then by notebook, read from the text.

    Args:
        package: where to look; ``workbench.methods`` unless told.

    Raises:
        ValueError: two modules share a key.
    """
    found: dict[str, Entry] = {}
    for entry in _entries(package or importlib.import_module("workbench.methods")):
        key = entry.card.key
        if key in found:
            raise ValueError(f"key {key} is in {found[key].module} and {entry.module}")
        found[key] = entry
    ordered = sorted(found.values(), key=lambda entry: place(entry.card, entry.module))
    return {entry.card.key: entry for entry in ordered}


def _entries(package: ModuleType) -> Iterator[Entry]:
    modules = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    for info in sorted(modules, key=lambda info: info.name):
        try:
            entry = _read(read(info.module_finder.find_spec(info.name, None)))
        except Unclear:
            entry = _imported(info.name)
        if entry is not None:
            yield entry


def _read(source: Source) -> Entry | None:
    """The entry of a method's file, None if the file has no card.

    Raises:
        Unclear: the text alone does not tell.
    """
    binders = source.binders("card")
    if not binders:
        return None
    if len(binders) > 1 or source.binders("__doc__"):
        raise Unclear(source.name)
    card = _literal_card(source, binders[0])
    return Entry(card, source.name, ast.get_docstring(source.tree) or "")


def _literal_card(source: Source, statement: ast.stmt) -> Card:
    """``card = Card(...)`` with literals, and a loop by its name."""
    match statement:
        case ast.Assign(targets=[ast.Name("card")], value=ast.Call() as call):
            pass
        case ast.AnnAssign(target=ast.Name("card"), value=ast.Call() as call):
            pass
        case _:
            raise Unclear("no plain assignment of a call")
    if source.full(call.func) != f"{Card.__module__}.{Card.__name__}":
        raise Unclear("another maker of cards")
    named = zip((field.name for field in fields(Card)), call.args, strict=False)
    values = dict(named) | {word.arg: word.value for word in call.keywords}
    try:
        return Card(**{n: _value(source, n, node) for n, node in values.items()})
    except (TypeError, ValueError) as error:
        raise Unclear("no literals") from error


def _value(source: Source, name: str | None, node: ast.expr) -> Any:
    """A literal, or the dotted name of a loop."""
    if name != "loop" or isinstance(node, ast.Constant):
        return ast.literal_eval(node)
    loop = source.full(node)
    # only of these is it known without an import that the name is the module's own
    if loop.rpartition(".")[0] != LOOPS:
        raise Unclear(loop)
    return loop


def _imported(name: str) -> Entry | None:
    module = importlib.import_module(name)
    card = vars(module).get("card")
    doc = inspect.getdoc(module) or ""
    return Entry(card, name, doc) if isinstance(card, Card) else None
