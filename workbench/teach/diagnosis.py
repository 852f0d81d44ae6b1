"""What a wrong loss may be when it is none of a method's known mistakes.

Two slips at once: two known mistakes together, or one of them and a forgotten detach,
which would hide every other. Or a neighbour: the right loss of another method that
learns from the same kind of data.
"""

import dataclasses
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from workbench.core import edits
from workbench.core.fields import freeze
from workbench.feedback.kind import batch_class

Loss = Callable[[Any, Any], Any]
# whether a loss gives the student's values on every batch where they are compared
Agrees = Callable[[Loss, Loss], bool]
SLIPS = {
    "swapped pair": edits.swapped,
    "mean over tokens": edits.mean_over_tokens,
    "prompt or padding counted": edits.mask_ignored,
    "no reference": edits.no_reference,
    "end of sequence left out": edits.end_left_out,
    "wrong sign": edits.wrong_sign,
}


def two_slips(module: ModuleType, function: Loss, agrees: Agrees) -> list[str]:
    """The names of two mistakes that together are the student's function.

    Args:
        module: the method, with ``loss`` and ``mistakes``.
        function: the student's loss.
        agrees: whether two losses have the same values and gradients.

    Returns:
        the two names, or nothing.
    """

    def cut(batch: Any, cfg: Any) -> Any:
        return function(freeze(batch), cfg)

    known = vars(module).get("mistakes", {})
    for name, wrong in known.items():
        if agrees(wrong, cut):
            return [name, "a gradient flows into the reference: detach it"]
    for name, wrong in known.items():
        for other, edit in SLIPS.items():
            if other not in name and agrees(edit(wrong), cut):
                return [name, other]
    return []


def neighbour(module: ModuleType, function: Loss, agrees: Agrees) -> ModuleType | None:
    """The method whose loss the student wrote instead, None if there is none.

    Args:
        module: the method that was asked for.
        function: the student's loss.
        agrees: whether two losses have the same values.
    """
    for other in _same_data(module):
        loss = _with_shared(other)
        if agrees(loss, function) and not agrees(loss, module.loss):
            return other
    return None


def _same_data(module: ModuleType) -> Iterator[ModuleType]:
    # imported late: the catalogue imports every method
    from workbench.catalogue import methods

    kind = batch_class(module.loss)
    for other in methods().values():
        named = other is not module and "loss" in vars(other)
        if named and batch_class(other.loss) is kind:
            yield other


def _with_shared(other: ModuleType) -> Loss:
    """The other loss at its own defaults and the settings that it shares."""
    names = {field.name for field in dataclasses.fields(other.Config)}

    def loss(batch: Any, given: Any) -> Any:
        shared = {k: v for k, v in dataclasses.asdict(given).items() if k in names}
        return other.loss(batch, dataclasses.replace(other.Config(), **shared))

    return loss
