"""A kind of feedback: what a loss reads, and what it can be made from."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, Protocol, get_type_hints, runtime_checkable

from torch import Tensor

from workbench.core.errors import MissingInput

# what a labelling may hold, in the words of a sentence that says it does not
PARTS = {
    "pairs": "pairs",
    "thumbs": "thumbs",
    "utilities": "scores",
    "proposal": "log-probs of the policy that wrote the responses",
    "own": "responses of the reference that nobody judged",
    "token_reward": "reward of each token",
    "users": "column that says which user judged each pair",
    "groups": "groups of scored responses",
}


@runtime_checkable
class DataSet(Protocol):
    """Examples to train on; those of a stack's members lie side by side."""

    @property
    def weight(self) -> Tensor:
        """How much each example counts, [example]."""
        ...

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def reference_logps(self, reference: Any, rows: Tensor | None = None, /) -> Any:
        """What the reference says of the examples that a run will read.

        It is read once before the first step. ``rows`` is a permission: more than
        these examples may be read; None is all.
        """
        ...

    def batch(self, policy: Any, rows: Tensor, ref: Any, /) -> Any:
        """What a loss reads, for some of the examples."""
        ...


@runtime_checkable
class StackedDataSet(DataSet, Protocol):
    """One whose class joins several: those of a stack's members."""

    @staticmethod
    def cat(parts: Any, /) -> DataSet:
        """Data sets of this class below each other."""
        ...


@runtime_checkable
class MixedDataSet(DataSet, Protocol):
    """One whose examples do not all fit into one batch: lists of several lengths."""

    def alike(self, rows: Tensor, /) -> list[Tensor]:
        """Rows in parts: the examples of a part fit into one batch."""
        ...


def alike(data: DataSet, rows: Tensor) -> list[Tensor]:
    """Rows in parts that fit into one batch each; most data sets need one part."""
    return data.alike(rows) if isinstance(data, MixedDataSet) else [rows]


def why_whole(data: DataSet) -> str | None:
    """Why a batch of these data cannot be read in parts, in words; None if it can.

    A batch is its examples side by side, but for fields that are declared as means over
    it. A data set of which that is not true says so in its attribute ``whole``.
    """
    return getattr(data, "whole", None)


Maker = Callable[[Any], DataSet]


@dataclass(frozen=True)
class Kind:
    """One kind of feedback; each file of ``feedback.kinds`` holds one.

    Attributes:
        name: what a loss of this kind learns from, as a user calls it.
        batch: the class of batches, with ``example`` for generic checks.
        ways: how its data set is made of ``feedback.labels.Labels``: for each way the
            parts of the labels that it needs (keys of ``PARTS``) and the function. The
            first way whose parts are there is taken. Empty where a loop makes the
            batches itself, from responses that the policy writes.
    """

    name: str
    batch: type
    ways: Mapping[tuple[str, ...], Maker] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def maker(self, parts: Collection[str], source: str = "the labelling") -> Maker:
        """The way to make the data set of labels with these parts.

        Raises:
            MissingInput: the labels lack what every way needs; the sentence names it.
        """
        for needed, make in self.ways.items():
            if set(needed) <= set(parts):
                return make
        if not self.ways:
            raise MissingInput(
                f"no labels make {self.name}: a loop makes them of responses that the "
                "policy writes itself"
            )
        lacks = [
            " and ".join(
                PARTS.get(part, f"column {part}")
                for part in needed
                if part not in parts
            )
            for needed in self.ways
        ]
        raise MissingInput(f"{source} gives no {', nor '.join(lacks)}")


@cache
def kinds() -> dict[type, Kind]:
    """Every kind by its batch class, in the order of their files."""
    package = importlib.import_module("workbench.feedback.kinds")
    found = {}
    for name in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        module = importlib.import_module(f"{package.__name__}.{name}")
        found[module.kind.batch] = module.kind
    return found


def kind_of(batch_class: type) -> Kind:
    """The kind whose batches are of this class.

    Raises:
        MissingInput: there is none.
    """
    if batch_class not in kinds():
        known = ", ".join(sorted(each.__name__ for each in kinds()))
        name = getattr(batch_class, "__name__", str(batch_class))
        raise MissingInput(f"no data set makes {name}; there are {known}")
    return kinds()[batch_class]


def reads(method: Any, default: type | None = None) -> type:
    """The batch that a method reads.

    Args:
        method: a module with ``loss``, or an object that says so in ``reads``.
        default: what it reads if nothing else is named.

    Raises:
        TypeError: its loss is annotated with no batch class.
    """
    return vars(method).get("reads") or batch_class(method.loss, default)


@lru_cache(maxsize=1024)
def batch_class(loss: Callable, default: type | None = None) -> type:
    """The batch a loss reads: the annotation of its first argument.

    Args:
        loss: called as ``loss(batch, cfg)``.
        default: what it reads if nothing else is named.

    Raises:
        TypeError: it is no batch class.
    """
    plain = inspect.unwrap(loss)
    first, *_ = inspect.signature(plain).parameters
    # an annotation may be text: `from __future__ import annotations`
    found = get_type_hints(plain).get(first, default)
    if found is None or not hasattr(found, "example"):
        where = getattr(loss, "__module__", "?")
        raise TypeError(
            f"{where}.loss: the annotation of {first!r} must be a batch "
            f"class with .example, not {found!r}"
        )
    return found
