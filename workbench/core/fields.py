"""What each field of a batch is: declared once, where the field stands.

A batch is a frozen dataclass. Its tensors are learned by the model that is trained,
frozen (another model's: the reference, the policy that sampled), constants (scores,
labels, weights) or masks. Loops, generic checks and ``teach.check`` read the
declaration; none of them looks at the name of a field.
"""

from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, Literal

from torch import Tensor

Role = Literal["learned", "frozen", "constant", "mask"]
_KEY = "workbench"


@dataclass(frozen=True)
class Declared:
    """One field of a batch.

    Attributes:
        role: what it is.
        mask: name of the mask that says which of its entries count; None for one value
            per example.
        logps: whether it holds log-probabilities of tokens, in nats.
        mean: whether it is a mean over the examples of the batch, the same for all of
            a seed.
    """

    role: Role
    mask: str | None = None
    logps: bool = False
    mean: bool = False


def _declare(declared: Declared, default: Any) -> Any:
    return field(default=default, metadata={_KEY: declared})


def learned(mask: str | None = None, *, logps: bool = True, default=MISSING) -> Any:
    """An output of the model that is trained; log-probs of tokens if it has a mask."""
    return _declare(Declared("learned", mask, logps and mask is not None), default)


def frozen(mask: str | None = None, *, logps: bool = True, default=MISSING) -> Any:
    """An output of a model that does not learn; with a mask, log-probs of tokens."""
    return _declare(Declared("frozen", mask, logps and mask is not None), default)


def constant(mask: str | None = None, *, mean: bool = False, default=MISSING) -> Any:
    """A number without a gradient: a score, a label, an advantage.

    Args:
        mask: name of the mask that says which entries count.
        mean: whether it is a mean over the batch of a seed. A batch that is read in
            parts has it from all of them.
        default: of the field.
    """
    return _declare(Declared("constant", mask, mean=mean), default)


def masks(of: str | None = None, *, default=MISSING) -> Any:
    """True where something counts; ``of`` names the mask that it is part of."""
    return _declare(Declared("mask", of), default)


def declared(batch: Any) -> dict[str, Declared]:
    """The declaration of each field that has one, of a batch or of its class."""
    declarations = {each.name: each.metadata.get(_KEY) for each in fields(batch)}
    return {name: found for name, found in declarations.items() if found is not None}


def tensors(batch: Any) -> dict[str, Tensor]:
    """The tensors of a batch by name."""
    values = {each.name: getattr(batch, each.name) for each in fields(batch)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def of_role(batch: Any, *roles: Role) -> list[str]:
    """Names of the tensors of a batch that have one of these roles."""
    known, values = declared(batch), tensors(batch)
    return [name for name, one in known.items() if one.role in roles and name in values]


def means(batch: Any) -> list[str]:
    """Names of the fields that are means over the batch."""
    return [name for name, one in declared(batch).items() if one.mean]


def freeze(batch: Any) -> Any:
    """The same batch with its frozen and constant fields cut from any gradient.

    Every loop calls this on what it gives to a loss, so that no data set, reward or
    critic need remember to.
    """
    values = tensors(batch)
    cut = {name: values[name].detach() for name in of_role(batch, "frozen", "constant")}
    return replace(batch, **cut)
