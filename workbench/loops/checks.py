"""What must hold before the first step, in sentences.

A policy, a data set, a method and its settings come from four places. Where two of them
do not belong together, Python would say so in its own words, or not at all.
"""

from collections.abc import Callable
from typing import Any, Literal, overload

from workbench.core.contracts import Method, Policy
from workbench.core.errors import BadCall
from workbench.feedback.kind import kinds, reads


@overload
def hook(method: Method, name: str, must: Literal[True]) -> Callable: ...
@overload
def hook(method: Method, name: str, must: bool = False) -> Callable | None: ...
def hook(method: Method, name: str, must: bool = False) -> Callable | None:
    """A function that a method has beside its loss, as its card says.

    Args:
        method: a module, or an object with ``card`` and ``loss``.
        name: of ``core.card.HOOKS``.
        must: whether the loop cannot do without.

    Returns:
        the function; None if the card does not name it and nothing asks for it.

    Raises:
        BadCall: it is missing.
    """
    found = vars(method).get(name)
    if found is None and (must or name in method.card.hooks):
        raise BadCall(
            f"{method.card.key} has no function {name}, and this loop needs it"
        )
    return found if must or name in method.card.hooks else None


def check_method(method: Method, cfg: Any, reference: Any) -> None:
    """The settings are the method's own, and a reference is there if it needs one.

    Raises:
        BadCall: not so.
    """
    own, key = vars(method).get("Config"), method.card.key
    if own is not None and cfg is not None and not isinstance(cfg, own):
        told = f"{type(cfg).__module__}.{type(cfg).__qualname__}"
        raise BadCall(f"{key} takes its own Config, not {told}")
    if reference is None and "reference" in method.card.needs:
        raise BadCall(f"{key} compares the policy with a reference, which is None here")


def given(reference: Policy | None, loop: str) -> Policy:
    """The reference of a loop that reads one whatever the method.

    Raises:
        BadCall: there is none.
    """
    if reference is None:
        raise BadCall(f"the loop {loop} reads a reference, which is None here")
    return reference


def check_rows(key: str, total: int, members: int) -> None:
    """Every seed of a stack has as many examples, at least one.

    Raises:
        BadCall: not so.
    """
    if total == 0:
        raise BadCall(f"{key} has nothing to learn from: the data set is empty")
    if total % members:
        raise BadCall(
            f"{total} examples cannot be shared by a stack of {members} seeds: each "
            "seed has as many, and they lie side by side"
        )


def check_batch(method: Method, batch: Any) -> None:
    """The data set makes the batches that the loss reads.

    Raises:
        BadCall: it makes others; the sentence says how to get the right ones.
    """
    wanted = reads(method, type(batch))
    if isinstance(batch, wanted):
        return
    known = kinds()
    word = f" ({known[wanted].name})" if wanted in known else ""
    raise BadCall(
        f"{method.card.key} reads {wanted.__name__}{word}, and these data make "
        f"{type(batch).__name__}; Labels.data({wanted.__name__}) makes what it reads"
    )
