"""Check a student's loss against the library's, and say which mistake it looks like.

``check.dpo(my_loss)`` for every method of the catalogue that has a ``loss``. The
student's function takes ``(batch, cfg)`` or ``(batch)``, reads the same batch as the
library's loss and returns one value per example.
"""

import dataclasses
import functools
import html
import typing
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from workbench.core.suggest import suggest
from workbench.feedback.kind import batch_class
from workbench.teach import diagnosis, record
from workbench.teach.box import colour_of, framed, sign
from workbench.teach.findings import (
    Answer,
    Case,
    Found,
    adapted,
    alike,
    answer_of,
    attempt,
    called,
    check_calls,
    check_shape,
    diagnose,
)
from workbench.teach.properties import (
    Subject,
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
        return f"{sign(self.passed)} {self.key}: {self.message}"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        colour = colour_of(self.passed)
        name = f"{sign(self.passed)} {html.escape(self.key)}"
        body = html.escape(self.message).replace("\n", "<br>")
        markup = framed(f"<b style='color:{colour}'>{name}</b> {body}", colour)
        return {"text/plain": repr(self), "text/html": markup}


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


def _cases(subject: Subject) -> list[Case]:
    """Ordinary, dirty, padded and extreme batches; then the other configs."""
    cases, cfg = [], subject.cfg
    for seed in SEEDS:
        batch = subject.example(seed)
        cases.append(Case("ordinary", batch, cfg))
        cases.append(Case("dirty", with_garbage(batch, seed), cfg))
        cases.append(Case("dirty", padded(batch), cfg))
        cases.append(Case("extreme", subject.extreme(seed), cfg))
        cases.append(Case("extreme", single(subject.extreme(seed)), cfg))
    batch = with_garbage(subject.example(99), 99)
    for field in dataclasses.fields(cfg):
        for value in other_values(cfg, field.name):
            changed = dataclasses.replace(cfg, **{field.name: value})
            cases.append(Case(field.name, batch, changed))
    return cases


def _matching(
    module: ModuleType, cases: list[Case], student: list[Answer | None]
) -> list[str]:
    """The known mistakes that answer as the student does, on every case."""
    names = []
    for name, wrong in vars(module).get("mistakes", {}).items():
        pairs = ((attempt(wrong, c), s) for c, s in zip(cases, student, strict=True))
        if all(w is not None and s is not None and s.agrees(w) for w, s in pairs):
            names.append(name)
    return names


def _name_mistakes(module: ModuleType, names: list[str]) -> Found:
    words = "; or ".join(_in_words(module, name) for name in names)
    return Found(names[0], f"this looks like {words}.")


def _examine(module: ModuleType, function: object) -> None:
    """Raise the first finding; return when there is none."""
    if not callable(function):
        kind = type(function).__name__
        raise Found("not a function", f"pass the function itself, not a {kind}.")
    loss = adapted(function)
    subject = Subject(module.loss, batch_class(module.loss), module.Config())
    cases = _cases(subject)
    right = [answer_of(module.loss, case) for case in cases]
    # in float32 a probability ratio may overflow in the library too: no case then
    known = [k for k, answer in enumerate(right) if answer.finite]
    cases, right = [cases[k] for k in known], [right[k] for k in known]
    returned = called(loss, cases[0])
    student = [attempt(loss, case) for case in cases]
    if all(s is not None and s.agrees(r) for s, r in zip(student, right, strict=True)):
        return
    names = _matching(module, cases, student)
    if names:
        raise _name_mistakes(module, names)
    check_shape(returned, right[0].value)
    ordinary = [k for k, case in enumerate(cases) if case.kind == "ordinary"]
    for some in (ordinary, range(len(cases))):
        parts = [[column[k] for k in some] for column in (cases, student, right)]
        check_calls(loss, *parts)
        try:
            diagnose(*parts)
        except Found as found:
            raise _better(module, loss, parts[0], found) from None


def _better(
    module: ModuleType, loss: Callable, cases: list[Case], found: Found
) -> Found:
    """A more telling finding than one in general terms, where there is one."""
    plain = [case for case in cases if case.kind == "ordinary"]

    def same_values(one: Callable, other: Callable) -> bool:
        return alike(one, other, plain, lambda a, b: same(a.value, b.value))

    if found.mistake in VAGUE:
        slips = diagnosis.two_slips(
            module, loss, lambda a, b: alike(a, b, cases, Answer.agrees)
        )
        if slips:
            told = " and ".join(_in_words(module, name) for name in slips)
            return Found(slips[0], f"two slips at once: {told}.")
        other = diagnosis.neighbour(module, loss, same_values)
        if other is not None:
            card = other.card
            words = f"this is another method's loss: {card.title} ({card.key!r})"
            return Found(f"neighbour {card.key}", f"{words}, lesson {card.notebook}.")
    return found


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
    verdict = examined(module, function)
    record.note(record.Event("check", verdict.key, function, verdict.passed))
    return verdict


def examined(module: ModuleType, function: object) -> Verdict:
    """The verdict on a function; nobody is told of it. See `check_method`."""
    key = module.card.key
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            _examine(module, function)
    except Found as found:
        return Verdict(key, False, found.mistake, found.message)
    words = "value and gradient agree with the library's loss"
    return Verdict(key, True, None, f"{words} on ordinary, padded and extreme batches.")


def checkable() -> dict[str, ModuleType]:
    """The methods that have a loss, by key."""
    from workbench.catalogue import methods

    return {key: m for key, m in methods().items() if "loss" in vars(m)}


def __getattr__(name: str) -> Callable[[object], Verdict]:
    if name.startswith("_"):
        raise AttributeError(name)
    known = checkable()
    if name not in known:
        hint = suggest(name, known) or f"; there are {sorted(known)}"
        raise AttributeError(f"no method {name!r} with a loss to check{hint}")
    return functools.partial(check_method, known[name])


def __dir__() -> list[str]:
    return sorted(checkable())
