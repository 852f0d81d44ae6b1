"""Fields of a row, taken out and checked: strings, messages, what must be there."""

from typing import Any

from workbench.feedback.aliases import CONTENT, ROLE, ROLES
from workbench.feedback.records import Message
from workbench.feedback.row_errors import Problem, Unreadable
from workbench.feedback.rows import Row, kind
from workbench.feedback.turns import check_reply, check_role


def need(row: Row, *names: str) -> list[Any]:
    """The values of fields that must be there.

    Raises:
        Problem: one is missing, null or unreadable.
    """
    values = [row.get(name) for name in names]
    if {*map(type, values)} == {str}:  # as nearly always; a file has many rows
        return values
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
    value = [value] if isinstance(value, dict) else value  # ShareGPT's answers
    if not isinstance(value, list) or not value:
        what = "an empty list" if value == [] else kind(value)
        raise Problem("wrong type", f"{name} is {what}, not a list of messages")
    return tuple(_message(turn, f"{name}[{i}]") for i, turn in enumerate(value))


def _message(turn: object, name: str) -> Message:
    if not isinstance(turn, dict):
        raise Problem("wrong type", f"{name} is {kind(turn)}, not a message")
    keys = [_key(turn, names) for names in (ROLE, CONTENT)]
    said = turn.get(keys[1])
    if said is None and turn.get("tool_calls"):
        said = ""  # a call needs no words
    for key, value in zip(keys, (turn.get(keys[0]), said), strict=True):
        if value is None:
            raise Problem("missing field", f"{name} has no {key}")
    who = string(turn[keys[0]], f"{name}.{keys[0]}")
    role = ROLES.get(who.lower(), who)
    check_role(role)
    said = _parts(said, name) if isinstance(said, list) else said
    return Message(role, string(said, f"{name}.{keys[1]}"), rest(turn, *keys))


def _key(turn: dict[str, Any], names: tuple[str, ...]) -> str:
    """Under which of its names a key of a message holds something; ours if none."""
    there = [name for name in names if turn.get(name) is not None]
    return there[0] if there else names[0]


def _parts(parts: list[Any], name: str) -> str:
    """The text of a message that comes in parts; pictures and sounds are refused."""
    words = []
    for i, part in enumerate(parts):
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            sort = part.get("type") if isinstance(part, dict) else kind(part)
            raise Problem("not text", f"{name}.content[{i}] is {sort!r}")
        words.append(text)
    return "".join(words)


def reply(value: object, name: str) -> tuple[Message, ...]:
    """A response: a text, or turns of which the assistant has the first and the last.

    Raises:
        Problem: it is something else.
    """
    if isinstance(value, str):
        return (Message("assistant", value),)
    turns = messages(value, name)
    check_reply(turns, name)
    return turns
