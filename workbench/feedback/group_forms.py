"""The forms of a preference file with several responses to a prompt.

    completions  prompt, and a list of objects that each hold a response and its score
    scored       prompt, a list of responses, and a list of their scores
    ranked       either of these with ranks instead of scores

Other names of the same fields are those of ``PROMPTS``, ``RESPONSES``, ``SCORES`` and
``RANKS``; in an object those of ``TEXT``, ``SCORE`` and ``RANK``, of which the first
that is there is read. A greater score is better. A rank belongs to the response in the
same place, and a lower rank is better: 1 is the best. The score of a ranked response is
the number of responses of its group that are ranked below it.
"""

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from workbench.feedback.aliases import (
    RANK,
    RANKS,
    RESPONSES,
    SCORE,
    SCORES,
    TEXT,
)
from workbench.feedback.records import GroupRecord, Message, Text, text_of
from workbench.feedback.row_errors import Problem, Unreadable
from workbench.feedback.row_fields import found, messages, need, reply, rest, string
from workbench.feedback.rows import Row, kind
from workbench.feedback.turns import check_prompt

PROMPTS = ("prompt", "instruction")
Reader = Callable[[Sequence[object], str], tuple[float, ...]]
# what the note on a file of this form adds
SAID = {"ranked": "rank 1 is the best; a score is how many of the group rank below"}


def detect(row: Row) -> str | None:
    """Name the form of a row by its fields; None if it has no list of responses.

    Raises:
        Problem: nothing says how good the responses are.
    """
    lists = [n for n in RESPONSES if isinstance(row.get(n), list | Unreadable)]
    if not lists:
        return None
    for names, form in ((SCORES, "scored"), (RANKS, "ranked")):
        if _present(row, names):
            return form
    (objects,) = need(row, lists[0])
    for names, form in ((SCORE, "completions"), (RANK, "ranked")):
        if any(_has(each, name) for each in objects for name in names):
            return form
    detail = f"{lists[0]} without scores or ranks; found {found(row)}"
    raise Problem("missing field", detail)


def check_pair(record: GroupRecord) -> None:
    """Refuse a group of which no two responses can be compared.

    Raises:
        Problem: all scores are equal, or only equal responses have different ones.
    """
    top = max(record.scores)
    if min(record.scores) == top:
        raise Problem("equal scores", f"all {len(record.scores)} are {top:g}")
    best = text_of(record.responses[record.scores.index(top)]).strip()
    both = zip(record.responses, record.scores, strict=True)
    if all(text_of(text).strip() == best for text, score in both if score < top):
        raise Problem("equal responses", "the best one is the same as all others")


def unparse(record: GroupRecord, form: str) -> dict[Any, Any]:
    """Turn a group into a row of the form ``scored``.

    Raises:
        Problem: another form is asked for, or the record cannot be said in this one.
    """
    if form != "scored":
        raise Problem("wrong form", f"a group is written as scored, not as {form}")
    if not all(isinstance(t, str) for t in (record.prompt, *record.responses)):
        raise Problem("wrong form", "a group is written with texts, not messages")
    row = {"prompt": record.prompt, "responses": list(record.responses)}
    clash = sorted({*row, *PROMPTS, *RESPONSES, *SCORES} & record.extra.keys())
    if clash:
        raise Problem("wrong form", f"extra columns named like fields: {clash}")
    return row | {"scores": list(record.scores)} | dict(record.extra)


# ---- the three forms --------------------------------------------------------------


def _scored(row: Row) -> GroupRecord:
    return _of_lists(row, SCORES, _scores)


def _ranked(row: Row) -> GroupRecord:
    if _present(row, RANKS):
        return _of_lists(row, RANKS, _beaten)
    return _of_objects(row, RANK, _beaten)


def _completions(row: Row) -> GroupRecord:
    return _of_objects(row, SCORE, _scores)


def _of_lists(row: Row, judged: tuple[str, ...], read: Reader) -> GroupRecord:
    asked, answers, values = _one(row, PROMPTS), _one(row, RESPONSES), _one(row, judged)
    prompt, responses, numbers = need(row, asked, answers, values)
    for value, name in ((responses, answers), (numbers, values)):
        _check_list(value, name)
    if len(responses) != len(numbers):
        detail = f"{len(responses)} {answers} and {len(numbers)} {values}"
        raise Problem("lengths differ", detail)
    texts: list[tuple[object, str]] = []
    for i, each in enumerate(responses):
        where = f"{answers}[{i}]"
        inside = isinstance(each, dict) and not _has(each, "role")
        texts.append(_one_of(each, TEXT, where) if inside else (each, where))
    extra = rest(row, asked, answers, values)
    return _record(prompt, texts, read(numbers, values), extra)


def _of_objects(row: Row, judged: tuple[str, ...], read: Reader) -> GroupRecord:
    asked, answers = _one(row, PROMPTS), _one(row, RESPONSES)
    prompt, objects = need(row, asked, answers)
    _check_list(objects, answers)
    values: list[object] = []
    texts: list[tuple[object, str]] = []
    name = next((n for n in judged if any(_has(each, n) for each in objects)), "")
    for i, each in enumerate(objects):
        where = f"{answers}[{i}]"
        if not isinstance(each, dict):
            raise Problem("wrong type", f"{where} is {kind(each)}, not an object")
        texts.append(_one_of(each, TEXT, where))
        values.append(_one_of(each, (name,) if name else judged, where)[0])
    scores = read(values, f"{answers}: {name}")
    return _record(prompt, texts, scores, rest(row, asked, answers))


def _record(
    prompt: object,
    texts: list[tuple[object, str]],
    scores: tuple[float, ...],
    extra: dict[str, Any],
) -> GroupRecord:
    talk = isinstance(prompt, list) or any(not isinstance(t, str) for t, _ in texts)
    if not talk:
        plain = tuple(string(text, name) for text, name in texts)
        return GroupRecord(string(prompt, "prompt"), plain, scores, extra)
    if isinstance(prompt, str):
        asked: tuple[Message, ...] = (Message("user", prompt),)
    else:
        asked = messages(prompt, "prompt")
    check_prompt(asked)
    turns = tuple(_turn(text, name) for text, name in texts)
    return GroupRecord(asked, turns, scores, extra)


def _turn(text: object, name: str) -> Text:
    """A response as turns of the assistant's."""
    return reply(text, name)


# ---- fields -----------------------------------------------------------------------


def _has(each: object, name: str) -> bool:
    return isinstance(each, dict) and each.get(name) is not None


def _present(row: Row, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if _has(row, name)]


def _one(row: Row, names: tuple[str, ...]) -> str:
    """The name of a field that goes by several; prompt comes before instruction."""
    present = _present(row, names)
    if len(present) > 1 and names is not PROMPTS:
        both = " and ".join(present)
        raise Problem("two fields", f"{both} are there: which is meant?")
    return present[0] if present else names[0]


def _one_of(
    each: dict[str, Any], names: tuple[str, ...], where: str
) -> tuple[Any, str]:
    """The first field of an object that is there, and its name in a sentence."""
    for name in names:
        if each.get(name) is not None:
            return each[name], f"{where}.{name}"
    raise Problem("missing field", f"{where} has no {' or '.join(names)}")


def _check_list(value: object, name: str) -> None:
    if not isinstance(value, list):
        raise Problem("wrong type", f"{name} is {kind(value)}, not a list")
    if len(value) < 2:
        raise Problem("one response", f"{name} has {len(value)}; a group needs two")


def _scores(values: Sequence[object], name: str) -> tuple[float, ...]:
    """Numbers as they are, reward units."""
    return tuple(_number(value, f"{name}[{i}]") for i, value in enumerate(values))


def _number(value: object, name: str) -> float:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise Problem("wrong type", f"{name} is {kind(value)}, not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Problem("score is not finite", f"{name} is {number}")
    return number


def _beaten(ranks: Sequence[object], name: str) -> tuple[float, ...]:
    """How many responses are ranked below each, as its score."""
    numbers = _scores(ranks, name)
    for i, number in enumerate(numbers):
        if number != int(number) or number < 0:
            said = f"{name}[{i}] is {number:g}; ranks are 1, 2, …, and 1 is the best"
            raise Problem("no rank", said)
    _check_order(name, [int(number) for number in numbers])
    return tuple(float(sum(b > a for b in numbers)) for a in numbers)


def _check_order(name: str, ranks: list[int]) -> None:
    """Refuse ``ranking`` from 0 that may be read in two ways.

    It may hold the rank of each response, or the responses from the best to the worst;
    both are the same where following the list twice leads back.
    """
    if name not in ("ranking", "rankings") or sorted(ranks) != [*range(len(ranks))]:
        return
    if any(ranks[ranks[i]] != i for i in range(len(ranks))):
        raise Problem(
            "ambiguous ranking",
            f"{name} {ranks} starts at 0: is it the rank of each response, or the "
            "responses from best to worst? write ranks from 1, 1 is the best",
        )


FORMS: dict[str, Callable[[Row], GroupRecord]] = {
    "completions": _completions,
    "scored": _scored,
    "ranked": _ranked,
}
