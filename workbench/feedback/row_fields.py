"""Fields of a row, taken out and checked: strings, messages, what must be there."""

from typing import Any

from workbench.feedback.records import Message
from workbench.feedback.row_errors import Problem, Unreadable
from workbench.feedback.rows import Row, kind
from workbench.feedback.turns import check_role


def need(row: Row, *names: str) -> list[Any]:
    """The values of fields that must be there.

    Raises:
        Problem: one is missing, null or unreadable.
    """
    for name in names:
        if isinstance(value := row.get(name), Unreadable):
            raise Problem(value.reason, f"{name}: {value.detail}")
    missing = [name for name in names if name not in row]
    nulls = [name for name in names if name in row and row[name] is None]
    if missing:
        raise Problem("missing field", f"no {', '.join(missing)}; found {found(row)}")
    if nulls:
        raise Problem("missing field", f"{', '.join(nulls)} is null")
    return [row[name] for name in names]


def found(row: Row) -> str:
    """The names of the fields that hold something, for a sentence."""
    names = [str(name) for name, value in row.items() if value is not None]
    return ", ".join(names) or "nothing"


def rest(row: Row, *names: str) -> dict[str, Any]:
    """The other columns of a row, verbatim."""
    return {key: value for key, value in row.items() if key not in names}


def string(value: object, name: str) -> str:
    """The value, which must be a string.

    Raises:
        Problem: it is something else.
    """
    if not isinstance(value, str):
        raise Problem(
            "wrong type", f"{name} is {kind(value)}, this form has strings there"
        )
    return value


def messages(value: object, name: str) -> tuple[Message, ...]:
    """The turns of a conversation; each must have a role and a content.

    Raises:
        Problem: the value is no list of such messages.
    """
    if not isinstance(value, list) or not value:
        what = "an empty list" if value == [] else kind(value)
        raise Problem("wrong type", f"{name} is {what}, not a list of messages")
    turns = []
    for i, turn in enumerate(value):
        if not isinstance(turn, dict):
            raise Problem("wrong type", f"{name}[{i}] is {kind(turn)}, not a message")
        for key in ("role", "content"):
            if turn.get(key) is None:
                raise Problem("missing field", f"{name}[{i}] has no {key}")
            string(turn[key], f"{name}[{i}].{key}")
        check_role(turn["role"])
        extra = rest(turn, "role", "content")
        turns.append(Message(turn["role"], turn["content"], extra))
    return tuple(turns)


def answer(turns: tuple[Message, ...], name: str) -> tuple[Message, ...]:
    """The last turn, which must be the assistant's.

    Raises:
        Problem: somebody else has the last word.
    """
    if turns[-1].role != "assistant":
        raise Problem(
            "no assistant turn",
            f"{name} ends with a turn of {turns[-1].role!r}, not of 'assistant'",
        )
    return turns[-1:]
