"""Check a student's loss against the library's, and say which mistake it looks like.

``check.dpo(my_loss)`` for every method of the catalogue that has a ``loss``. The
student's function takes ``(batch, cfg)`` or ``(batch)``, reads the same batch as the
library's loss and returns one value per example.
"""

import dataclasses
import functools
import html
import inspect
import traceback
import typing
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from workbench.core.fields import Declared, declared
from workbench.core.suggest import suggest
from workbench.feedback.kind import batch_class
from workbench.teach import diagnosis
from workbench.teach.properties import (
    Subject,
    gradients,
    leaves,
    padded,
    same,
    single,
    with_garbage,
)

SEEDS = range(3)
VAGUE = ("wrong value", "wrong scale", "wrong offset", "wrong gradient", "mask ignored")


@dataclass(frozen=True)
class Verdict:
    """What the check found.

    Attributes:
        key: the method.
        passed: True when value and gradient agree with the library everywhere.
        mistake: short name of what is wrong: a key of the method's ``mistakes``
            (``"1 swapped pair"``), a general one (``"wrong shape"``), or None.
        message: the finding in words.
    """

    key: str
    passed: bool
    mistake: str | None
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"{self._sign()} {self.key}: {self.message}"

    def _sign(self) -> str:
        return "✓" if self.passed else "✗"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        colour = "#0072b2" if self.passed else "#d55e00"
        box = f"border-left:4px solid {colour};padding:4px 10px"
        head = f"<b style='color:{colour}'>{self._sign()} {html.escape(self.key)}</b>"
        body = html.escape(self.message).replace("\n", "<br>")
        markup = f"<div style='{box}'>{head} {body}</div>"
        return {"text/plain": repr(self), "text/html": markup}


class _Found(Exception):
    """Stops the check with a finding; it never leaves this module."""

    def __init__(self, mistake: str, message: str):
        super().__init__(message)
        self.mistake, self.message = mistake, message


@dataclass(frozen=True)
class _Case:
    """One batch and config on which two functions are compared."""

    kind: str
    batch: Any
    cfg: Any


@dataclass(frozen=True)
class _Answer:
    """Value of a function on a case and its gradient by field."""

    value: Tensor
    gradient: dict[str, Tensor]

    @property
    def finite(self) -> bool:
        parts = [self.value, *self.gradient.values()]
        return all(bool(part.isfinite().all()) for part in parts)

    def agrees(self, other: "_Answer") -> bool:
        return same(self.value, other.value) and self.same_gradient(other)

    def same_gradient(self, other: "_Answer", scale: float = 1.0) -> bool:
        return all(same(g, scale * other.gradient[n]) for n, g in self.gradient.items())


def _answer(loss: Callable, case: _Case) -> _Answer:
    batch = leaves(case.batch)
    value = loss(batch, case.cfg)
    return _Answer(value.detach(), gradients(value, batch))


def _attempt(loss: Callable, case: _Case) -> _Answer | None:
    """The answer, or None where the function breaks: wrong versions may."""
    try:
        return _answer(loss, case)
    except Exception:
        return None


def other_values(cfg: Any, name: str) -> list[Any]:
    """Other valid values of a config's field: half a number, another choice."""
    value = getattr(cfg, name)
    hint = typing.get_type_hints(type(cfg))[name]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, float):
        return [value / 2 if value else 0.5]
    if typing.get_origin(hint) is typing.Literal:
        return [choice for choice in typing.get_args(hint) if choice != value]
    return []


def _cases(subject: Subject) -> list[_Case]:
    """Ordinary, dirty, padded and extreme batches; then the other configs."""
    cases, cfg = [], subject.cfg
    for seed in SEEDS:
        batch = subject.example(seed)
        cases.append(_Case("ordinary", batch, cfg))
        cases.append(_Case("dirty", with_garbage(batch, seed), cfg))
        cases.append(_Case("dirty", padded(batch), cfg))
        cases.append(_Case("extreme", subject.extreme(seed), cfg))
        cases.append(_Case("extreme", single(subject.extreme(seed)), cfg))
    batch = with_garbage(subject.example(99), 99)
    for field in dataclasses.fields(cfg):
        for value in other_values(cfg, field.name):
            changed = dataclasses.replace(cfg, **{field.name: value})
            cases.append(_Case(field.name, batch, changed))
    return cases


def _adapted(function: Callable) -> Callable:
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


def _called(function: Callable, case: _Case) -> object:
    """What the student's function returns; what it raises becomes a finding."""
    try:
        return function(leaves(case.batch), case.cfg)
    except NotImplementedError:
        raise _Found("not written yet", "the function is not written yet.") from None
    except (Exception, SystemExit) as error:
        words = f"the function raised {_first_line(error)}."
        raise _Found("raises an error", words) from None


def _shape(returned: object, right: Tensor) -> None:
    """Reject what is not one number per example, and say what it looks like."""
    rows = len(right)
    if returned is None:
        raise _Found("returns nothing", "the function returns None: is `return` there?")
    if not isinstance(returned, Tensor):
        kind = type(returned).__name__
        words = f"it returns a {kind}; return a tensor with one value per example."
        raise _Found("not a tensor", words)
    if returned.shape == right.shape:
        return
    if returned.numel() == 1:
        number = returned.detach().reshape(()).to(right)
        for name, of in (("mean", right.mean()), ("sum", right.sum())):
            if same(number, of):
                words = f"this is the {name} over the batch: the formula is right, "
                words += f"return the {rows} values and let the loop reduce them."
                raise _Found(f"batch {name}", words)
        words = f"it returns one number for {rows} examples; the loop takes the mean, "
        raise _Found("batch reduced", words + "the loss returns one value per example.")
    shape = tuple(returned.shape)
    if returned.ndim == 2 and len(returned) == rows:
        words = f"it returns the shape {shape}, a value per token: reduce over tokens."
        raise _Found("token reduction missing", words)
    words = f"it returns the shape {shape}; one value per example is ({rows},)."
    raise _Found("wrong shape", words)


def _matching(
    module: ModuleType, cases: list[_Case], student: list[_Answer | None]
) -> list[str]:
    """The known mistakes that answer as the student does, on every case."""
    names = []
    for name, wrong in vars(module).get("mistakes", {}).items():
        pairs = ((_attempt(wrong, c), s) for c, s in zip(cases, student, strict=True))
        if all(w is not None and s is not None and s.agrees(w) for w, s in pairs):
            names.append(name)
    return names


def _name_mistakes(module: ModuleType, names: list[str]) -> _Found:
    words = "; or ".join(_in_words(module, name) for name in names)
    return _Found(names[0], f"this looks like {words}.")


def _breaks(
    loss: Callable, cases: list[_Case], student: list, right: list[_Answer]
) -> None:
    """Reject a function that raises, or changes its shape, on some batch."""
    for case, answer, target in zip(cases, student, right, strict=True):
        returned = _called(loss, case) if answer is None else answer.value
        _shape(returned, target.value)
        if answer is None:
            words = f"no gradient can be taken on the batch called {case.kind}."
            raise _Found("raises an error", words)


def _diagnose(cases: list[_Case], student: list, right: list[_Answer]) -> None:
    """A disagreement that is none of the method's own mistakes, in general terms."""
    pairs = list(zip(cases, student, right, strict=True))
    wrong = [case.kind for case, s, r in pairs if not same(s.value, r.value)]
    plain = [(s, r) for case, s, r in pairs if case.kind == "ordinary"]
    if "ordinary" in wrong:
        raise _formula(plain)
    if "dirty" in wrong:
        words = "it agrees until numbers stand outside the mask: mask them out "
        words += "(prompt and padding count for nothing)."
        raise _Found("mask ignored", words)
    if len(plain) == len(pairs):
        return  # more batches follow
    if any(not s.agrees(r) for s, r in plain):
        raise _gradient_only(plain, declared(cases[0].batch))
    if any(not s.agrees(r) for case, s, r in pairs if case.kind == "extreme"):
        finite = all(s.finite for case, s, _ in pairs if case.kind == "extreme")
        words = "it agrees until a token has log-prob 0 or −150; there its "
        words += "numbers differ" if finite else "value or gradient is not finite"
        raise _Found("unstable", words + ": use logsigmoid, log1p, expm1 or logsumexp.")
    names = " and ".join(sorted({c.kind for c, s, r in pairs if not s.agrees(r)}))
    words = f"it agrees at the default config and not with another cfg.{names}: "
    words += f"write it as a function of (batch, cfg) and read cfg.{names}."
    raise _Found("config ignored", words)


def _formula(plain: list[tuple[_Answer, _Answer]]) -> _Found:
    """Compare values and gradients on ordinary batches."""
    value = torch.cat([mine.value for mine, _ in plain])
    target = torch.cat([right.value for _, right in plain])
    if not value.isfinite().all():
        return _Found("not finite", "it is not finite on ordinary log-probs.")
    if same(value, -target):
        return _Found("wrong sign", "it is the negative of the loss: check the sign.")
    if (value - value[0]).abs().max() < 1e-12:
        return _Found(
            "constant", f"it is {value[0]:.4g} for every example: a constant."
        )
    ratio = value / target
    if same(ratio, ratio[0].expand_as(ratio), 1e-7):
        words = f"it is {ratio[0]:.4g} times the loss: check the scale."
        return _Found("wrong scale", words)
    gap = value - target
    if same(gap, gap[0].expand_as(gap), 1e-7):
        words = f"it is the loss plus {gap[0]:.4g}: a constant is added or missing."
        return _Found("wrong offset", words)
    row = int(gap.abs().argmax())
    words = (
        f"the value differs from the loss: {value[row]:.6g} where {target[row]:.6g} "
    )
    words += "is right. It is none of the mistakes known for this method."
    return _Found("wrong value", words)


def _gradient_only(
    plain: list[tuple[_Answer, _Answer]], told: dict[str, Declared]
) -> _Found:
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
                return _Found(f"gradient into a {kind} field", words)
            if not gradient.any():
                words = (
                    f"the value is right, and no gradient reaches {name}: it is cut."
                )
                return _Found("gradient cut", words)
    return _Found("wrong gradient", "the value is right and the gradient is not.")


def _examine(module: ModuleType, function: object) -> None:
    """Raise the first finding; return when there is none."""
    if not callable(function):
        kind = type(function).__name__
        raise _Found("not a function", f"pass the function itself, not a {kind}.")
    loss = _adapted(function)
    subject = Subject(module.loss, batch_class(module.loss), module.Config())
    cases = _cases(subject)
    right = [_answer(module.loss, case) for case in cases]
    # in float32 a probability ratio may overflow in the library too: no case then
    known = [k for k, answer in enumerate(right) if answer.finite]
    cases, right = [cases[k] for k in known], [right[k] for k in known]
    returned = _called(loss, cases[0])
    student = [_attempt(loss, case) for case in cases]
    if all(s is not None and s.agrees(r) for s, r in zip(student, right, strict=True)):
        return
    names = _matching(module, cases, student)
    if names:
        raise _name_mistakes(module, names)
    _shape(returned, right[0].value)
    ordinary = [k for k, case in enumerate(cases) if case.kind == "ordinary"]
    for some in (ordinary, range(len(cases))):
        parts = [[column[k] for k in some] for column in (cases, student, right)]
        _breaks(loss, *parts)
        try:
            _diagnose(*parts)
        except _Found as found:
            raise _better(module, loss, parts[0], found) from None


def _better(
    module: ModuleType, loss: Callable, cases: list[_Case], found: _Found
) -> _Found:
    """A more telling finding than one in general terms, where there is one."""
    plain = [case for case in cases if case.kind == "ordinary"]

    def same_values(one: Callable, other: Callable) -> bool:
        return _alike(one, other, plain, lambda a, b: same(a.value, b.value))

    if found.mistake in VAGUE:
        slips = diagnosis.two_slips(
            module, loss, lambda a, b: _alike(a, b, cases, _Answer.agrees)
        )
        if slips:
            told = " and ".join(_in_words(module, name) for name in slips)
            return _Found(slips[0], f"two slips at once: {told}.")
        other = diagnosis.neighbour(module, loss, same_values)
        if other is not None:
            card = other.card
            words = f"this is another method's loss: {card.title} ({card.key!r})"
            return _Found(f"neighbour {card.key}", f"{words}, lesson {card.notebook}.")
    return found


def _alike(one: Callable, other: Callable, cases: list[_Case], agree: Callable) -> bool:
    answers = ((_attempt(one, case), _attempt(other, case)) for case in cases)
    return all(a is not None and b is not None and agree(a, b) for a, b in answers)


def _in_words(module: ModuleType, name: str) -> str:
    from workbench.catalogue import known_mistakes

    number, _, rest = name.partition(" ")
    if not number.isdigit():
        return name
    words = known_mistakes(module).get(int(number), rest)
    return f"mistake ({number}), {words}"


def check_method(module: ModuleType, function: object) -> Verdict:
    """Compare a student's function with a method's loss.

    Args:
        module: a method with ``loss``, ``Config`` and ``mistakes``.
        function: the student's, called as ``function(batch, cfg)``. One that takes the
            batch alone passes only if the method has no settings.

    Returns:
        the verdict; a wrong function never raises.
    """
    key = module.card.key
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            _examine(module, function)
    except _Found as found:
        return Verdict(key, False, found.mistake, found.message)
    words = "value and gradient agree with the library's loss"
    return Verdict(key, True, None, f"{words} on ordinary, padded and extreme batches.")


def _checkable() -> dict[str, ModuleType]:
    from workbench.catalogue import methods

    return {key: m for key, m in methods().items() if "loss" in vars(m)}


def __getattr__(name: str) -> Callable[[object], Verdict]:
    if name.startswith("_"):
        raise AttributeError(name)
    known = _checkable()
    if name not in known:
        hint = suggest(name, known) or f"; there are {sorted(known)}"
        raise AttributeError(f"no method {name!r} with a loss to check{hint}")
    return functools.partial(check_method, known[name])


def __dir__() -> list[str]:
    return sorted(_checkable())
