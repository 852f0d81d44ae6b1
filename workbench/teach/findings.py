"""Findings in general terms: what is wrong with a loss that is no known mistake.

A student's function and the library's are compared on cases, in value and in gradient.
A finding stops the comparison; ``teach.check`` turns it into a verdict.
"""

import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.core.fields import Declared, declared
from workbench.teach.properties import gradients, leaves, same


class Found(Exception):
    """Stops a check with a finding: its short name, and the finding in words."""

    def __init__(self, mistake: str, message: str):
        super().__init__(message)
        self.mistake, self.message = mistake, message


@dataclass(frozen=True)
class Case:
    """One batch and config on which two functions are compared."""

    kind: str
    batch: Any
    cfg: Any


@dataclass(frozen=True)
class Answer:
    """Value of a function on a case and its gradient by field."""

    value: Tensor
    gradient: dict[str, Tensor]

    @property
    def finite(self) -> bool:
        """Whether value and gradient are."""
        parts = [self.value, *self.gradient.values()]
        return all(bool(part.isfinite().all()) for part in parts)

    def agrees(self, other: "Answer") -> bool:
        """Whether the value and the gradient of every field are the same."""
        gradients = self.gradient.items()
        return same(self.value, other.value) and all(
            same(gradient, other.gradient[name]) for name, gradient in gradients
        )


def answer_of(loss: Callable, case: Case) -> Answer:
    """Value and gradient of a loss on a case."""
    batch = leaves(case.batch)
    value = loss(batch, case.cfg)
    return Answer(value.detach(), gradients(value, batch))


def attempt(loss: Callable, case: Case) -> Answer | None:
    """The answer, or None where the function breaks: wrong versions may."""
    try:
        return answer_of(loss, case)
    except Exception:
        return None


def alike(one: Callable, other: Callable, cases: list[Case], agree: Callable) -> bool:
    """Whether two losses run on all cases and their answers agree."""
    answers = ((attempt(one, case), attempt(other, case)) for case in cases)
    return all(a is not None and b is not None and agree(a, b) for a, b in answers)


def adapted(function: Callable) -> Callable:
    """The function as (batch, cfg) → values; of one argument, it cannot read cfg."""
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return lambda batch, cfg: function(batch)
    except ValueError:  # a builtin has no signature: let the call speak
        pass
    return function


def _first_line(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__]
    line = f" (line {own[0].lineno}: {own[0].line})" if own else ""
    return f"{type(error).__name__}: {error}{line}"


def called(function: Callable, case: Case) -> object:
    """What the student's function returns; what it raises becomes a finding."""
    try:
        return function(leaves(case.batch), case.cfg)
    except NotImplementedError:
        raise Found("not written yet", "the function is not written yet.") from None
    except (Exception, SystemExit) as error:
        words = f"the function raised {_first_line(error)}."
        raise Found("raises an error", words) from None


def check_shape(returned: object, right: Tensor) -> None:
    """Reject what is not one number per example, and say what it looks like."""
    rows = len(right)
    if returned is None:
        raise Found("returns nothing", "the function returns None: is `return` there?")
    if not isinstance(returned, Tensor):
        kind = type(returned).__name__
        words = f"it returns a {kind}; return a tensor with one value per example."
        raise Found("not a tensor", words)
    if returned.shape == right.shape:
        return
    if returned.numel() == 1:
        number = returned.detach().reshape(()).to(right)
        for name, of in (("mean", right.mean()), ("sum", right.sum())):
            if same(number, of):
                words = f"this is the {name} over the batch: the formula is right, "
                words += f"return the {rows} values and let the loop reduce them."
                raise Found(f"batch {name}", words)
        words = f"it returns one number for {rows} examples; the loop takes the mean, "
        raise Found("batch reduced", words + "the loss returns one value per example.")
    shape = tuple(returned.shape)
    if returned.ndim == 2 and len(returned) == rows:
        words = f"it returns the shape {shape}, a value per token: reduce over tokens."
        raise Found("token reduction missing", words)
    words = f"it returns the shape {shape}; one value per example is ({rows},)."
    raise Found("wrong shape", words)


def check_calls(
    loss: Callable, cases: list[Case], student: list, right: list[Answer]
) -> None:
    """Reject a function that raises, or changes its shape, on some batch."""
    for case, answer, target in zip(cases, student, right, strict=True):
        returned = called(loss, case) if answer is None else answer.value
        check_shape(returned, target.value)
        if answer is None:
            words = f"no gradient can be taken on the batch called {case.kind}."
            raise Found("raises an error", words)


def diagnose(cases: list[Case], student: list, right: list[Answer]) -> None:
    """A disagreement that is none of the method's own mistakes, in general terms."""
    pairs = list(zip(cases, student, right, strict=True))
    wrong = [case.kind for case, s, r in pairs if not same(s.value, r.value)]
    plain = [(s, r) for case, s, r in pairs if case.kind == "ordinary"]
    if "ordinary" in wrong:
        raise _formula(plain)
    if "dirty" in wrong:
        words = "it agrees until numbers stand outside the mask: mask them out "
        words += "(prompt and padding count for nothing)."
        raise Found("mask ignored", words)
    if len(plain) == len(pairs):
        return  # more batches follow
    if any(not s.agrees(r) for s, r in plain):
        raise _gradient_only(plain, declared(cases[0].batch))
    if any(not s.agrees(r) for case, s, r in pairs if case.kind == "extreme"):
        finite = all(s.finite for case, s, _ in pairs if case.kind == "extreme")
        words = "it agrees until a token has log-prob 0 or −150; there its "
        words += "numbers differ" if finite else "value or gradient is not finite"
        raise Found("unstable", words + ": use logsigmoid, log1p, expm1 or logsumexp.")
    names = " and ".join(sorted({c.kind for c, s, r in pairs if not s.agrees(r)}))
    words = f"it agrees at the default config and not with another cfg.{names}: "
    words += f"write it as a function of (batch, cfg) and read cfg.{names}."
    raise Found("config ignored", words)


def _formula(plain: list[tuple[Answer, Answer]]) -> Found:
    """Compare values and gradients on ordinary batches."""
    value = torch.cat([mine.value for mine, _ in plain])
    target = torch.cat([right.value for _, right in plain])
    if not value.isfinite().all():
        return Found("not finite", "it is not finite on ordinary log-probs.")
    if same(value, -target):
        return Found("wrong sign", "it is the negative of the loss: check the sign.")
    if (value - value[0]).abs().max() < 1e-12:
        return Found("constant", f"it is {value[0]:.4g} for every example: a constant.")
    ratio = value / target
    if same(ratio, ratio[0].expand_as(ratio), 1e-7):
        words = f"it is {ratio[0]:.4g} times the loss: check the scale."
        return Found("wrong scale", words)
    gap = value - target
    if same(gap, gap[0].expand_as(gap), 1e-7):
        words = f"it is the loss plus {gap[0]:.4g}: a constant is added or missing."
        return Found("wrong offset", words)
    row = int(gap.abs().argmax())
    words = (
        f"the value differs from the loss: {value[row]:.6g} where {target[row]:.6g} "
    )
    words += "is right. It is none of the mistakes known for this method."
    return Found("wrong value", words)


def _gradient_only(
    plain: list[tuple[Answer, Answer]], told: dict[str, Declared]
) -> Found:
    """The values agree and the gradients do not: something is or is not detached."""
    for mine, right in plain:
        for name, gradient in mine.gradient.items():
            other = right.gradient[name]
            if same(gradient, other):
                continue
            if not other.any():
                words = (
                    f"the value is right, and a gradient flows into {name}: detach it."
                )
                kind = told[name].role
                return Found(f"gradient into a {kind} field", words)
            if not gradient.any():
                words = (
                    f"the value is right, and no gradient reaches {name}: it is cut."
                )
                return Found("gradient cut", words)
    return Found("wrong gradient", "the value is right and the gradient is not.")
