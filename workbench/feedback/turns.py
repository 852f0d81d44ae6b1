"""Who speaks in which turn, and whether a text is blank."""

import unicodedata
from collections.abc import Sequence

from workbench.feedback.records import Message
from workbench.feedback.row_errors import Problem

SYSTEM = ("system", "developer")
TOOLS = ("tool", "function", "ipython")
ROLES = (*SYSTEM, "user", "assistant", *TOOLS)

# Controls, formats (zero-width characters are among them), and separators.
_UNSEEN = {"Cc", "Cf", "Zs", "Zl", "Zp"}
# Letters and marks that show nothing by themselves: fillers and variation selectors.
_BLANK = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}
_BLANK |= {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: blanks, controls, zero-width characters."""
    if "!" <= text[:1] <= "~":  # as most texts begin
        return False
    return all(
        character.isspace()
        or unicodedata.category(character) in _UNSEEN
        or ord(character) in _BLANK
        for character in text
    )


def check_role(role: str) -> None:
    """Refuse a speaker whom no chat template knows.

    Raises:
        Problem: the role is unknown.
    """
    if role in ROLES:
        return
    if role.lower() in ROLES:
        raise Problem("unknown role", f"{role!r}; it is called {role.lower()!r} here")
    raise Problem("unknown role", f"{role!r} is none of {', '.join(ROLES)}")


def check_prompt(turns: Sequence[Message], begun: bool = False) -> None:
    """Check that a conversation can be answered by the assistant.

    After at most one system message comes the user; user and assistant take turns, with
    results of tools between them. The assistant has not the last word, unless it may
    have ``begun`` the turn that a response goes on with.

    Raises:
        Problem: the turns have another order.
    """
    roles = [turn.role for turn in turns]
    start = 1 if roles[0] in SYSTEM else 0
    if not roles[start:]:
        raise _disorder("the prompt has a system message alone")
    if roles[start] != "user":
        raise _disorder(f"the prompt starts with {roles[start]!r}, not with 'user'")
    _check_order(roles[start:])
    if roles[-1] == "assistant" and not begun:
        raise _disorder("the prompt ends with a turn of 'assistant'")


def check_reply(turns: Sequence[Message], name: str) -> None:
    """Check the turns of a response: the assistant has the first and the last word.

    Raises:
        Problem: somebody else has, or the turns have another order.
    """
    for turn, at in ((turns[-1], "ends"), (turns[0], "starts")):
        if turn.role != "assistant":
            detail = f"{name} {at} with a turn of {turn.role!r}, not of 'assistant'"
            raise Problem("no assistant turn", detail)
    _check_order([turn.role for turn in turns])


def _check_order(roles: Sequence[str]) -> None:
    for before, role in zip(roles, roles[1:], strict=False):
        if role in SYSTEM:
            raise _disorder(f"{role!r} stands after the first message")
        if before == role and role not in TOOLS:
            raise _disorder(f"two turns of {role!r} follow each other")


def _disorder(detail: str) -> Problem:
    return Problem("turns out of order", detail)
