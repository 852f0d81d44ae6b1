"""Whether a method can learn on a problem, told before anything is read or trained."""

from collections.abc import Collection
from typing import Any

from workbench.core.contracts import Method
from workbench.core.errors import MissingInput
from workbench.feedback.kind import PARTS, kind_of, reads
from workbench.loops.checks import hook

# parts of the labels (``feedback.kind.PARTS``) that a world's annotator gives, and
# those that a preference file may hold
WORLD = frozenset({"pairs", "utilities", "proposal", "own", "token_reward"})
FILE = frozenset({"pairs", "thumbs", "users", "utilities", "groups"})
# what a loop may ask a problem for, as a sentence calls it
ASKED = {
    "reward": ("a reward for responses that it writes itself", "has none"),
    "preference": (
        "a preference oracle for responses that it writes itself",
        "has none",
    ),
    "tree": ("a world whose responses are all known", "is none"),
}


def columns(method: Any) -> set[str]:
    """Columns of a file that a method may read: parts that no labelling of ours has."""
    ways = kind_of(reads(method)).ways if "loss" in vars(method) else {}
    return {part for needed in ways for part in needed if part not in PARTS}


def check(
    method: Any, gives: Collection[str], parts: Collection[str], place: str
) -> None:
    """Refuse a method that needs what a problem cannot give.

    Args:
        method: of the library.
        gives: what the problem gives its loop (``Problem.gives``).
        parts: parts of the labels that it has, or may have.
        place: the problem's name in a sentence: "reviews", "a preference file".

    Raises:
        MissingInput: with what is missing and where it can be had.
    """
    card, loop = method.card, method.card.loop
    if loop is None:
        raise MissingInput(
            f"{card.key} trains nothing: it is a closed form, or a way to decode; "
            f"notebook {card.notebook} shows it at work"
        )
    lacks = [ASKED[name] for name in loop.ASKS if name not in gives]
    if lacks:
        needed, lack = lacks[0]
        raise MissingInput(
            f"{card.key} needs {needed}, and {place} {lack}; {_instead(gives)}"
        )
    check_labels(method, parts, place)
    if hook(method, "prepare") is not None and "tree" not in gives:
        raise MissingInput(
            f"{card.key} prepares data or a model of its own, for which all responses "
            f"have to be known; {_instead(gives)}"
        )


def check_labels(method: Method, parts: Collection[str], place: str) -> None:
    """Refuse a method whose data set cannot be made of labels with these parts.

    Raises:
        MissingInput: with what they lack.
    """
    kind, key = kind_of(reads(method)), method.card.key
    if hook(method, "prepare") is not None:
        if "reward" in method.card.needs and "utilities" not in parts:
            raise MissingInput(f"{key} makes its data of scores; {place} gives none")
        return
    if "proposal" in method.card.needs and "proposal" not in parts:
        raise MissingInput(f"{key} needs {PARTS['proposal']}; {place} gives none")
    if not kind.ways:
        return  # the loop makes the batches, of responses that the policy writes
    try:
        kind.maker(parts, place)
    except MissingInput as error:
        asks = all("users" in needed for needed in kind.ways)
        hint = "; --world reviews --users 4 has one" if asks else ""
        raise MissingInput(
            f"{key} learns from {kind.name}, and {error}{hint}"
        ) from None


def _instead(gives: Collection[str]) -> str:
    if "reward" in gives:
        return "use --world reviews"
    return "use --world, or a method that learns from labels, such as dpo"
