"""Conversations as text, written by a chat template: prompt and answers together.

A template may put a blank before an answer, trim it, and end its turn in its own way.
So an answer is what the whole conversation has more than the prompt alone. A template
that writes no special token is plain text, and begins and ends as plain text does.
"""

import json
import os.path
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.errors import BadCheckpoint, printable
from workbench.feedback.records import Message, Record, responses_of, text_of
from workbench.feedback.turns import TOOLS

# The form of HH-RLHF. The generation prompt ends with the blank after the colon, so
# prompt + response is what the whole conversation renders to, character for character.
CHAT_TEMPLATE = (
    "{%- set names = {'user': 'Human', 'assistant': 'Assistant', "
    "'system': 'System'} -%}"
    "{%- for m in messages -%}"
    "{{ '\n\n' + names.get(m['role'], m['role']) + ': ' + m['content'] }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '\n\nAssistant: ' }}{%- endif -%}"
)
CALLS = "tool_calls"


class Refusal(Exception):
    """A chat template cannot write a conversation, and why."""


@dataclass(frozen=True)
class Rendered:
    """A prompt and its answers as text.

    Attributes:
        prompt: up to the first character of an answer.
        answers: what follows it, to the end of the turn where a template writes one.
        by_template: whether a chat template wrote them.
        lost: the end of the prompt alone that an answered prompt does not have, such
            as the opening of a chain of thought.
    """

    prompt: str
    answers: tuple[str, ...]
    by_template: bool = False
    lost: str = ""


def render(tokenizer, record: Record) -> Rendered:
    """The texts of a record, as its tokenizer's chat template writes conversations.

    Args:
        tokenizer: for its template; None, or one without, writes as HH-RLHF does.
        record: text, or a conversation; a prompt whose last turn is the assistant's is
            continued, not answered by another turn.

    Raises:
        Refusal: the template cannot write it, writes its prompt otherwise once it is
            answered, or leaves out tools or calls to them.
    """
    prompt, answers = record.prompt, responses_of(record)
    if isinstance(prompt, str):
        return Rendered(prompt, tuple(map(text_of, answers)))
    turns = [(Message("assistant", a),) if isinstance(a, str) else a for a in answers]
    tools = _tools(record.extra)
    alone = _write(tokenizer, prompt, tools, open_end=True)
    wholes = [_write(tokenizer, _joined(prompt, t), tools) for t in turns]
    _check_calls(tokenizer, prompt, turns, tools, wholes)
    shared = min(len(os.path.commonprefix([alone, whole])) for whole in wholes)
    _check_prompt(prompt, alone, shared)
    ends = tuple(whole[shared:] for whole in wholes)
    for end, turn in zip(ends, turns, strict=True):
        if not end.strip() and text_of(turn).strip():
            raise Refusal("it writes nothing of the answer")
    return Rendered(alone[:shared], ends, has_template(tokenizer), lost=alone[shared:])


def has_template(tokenizer) -> bool:
    """Whether a tokenizer brings a chat template of its own."""
    return tokenizer is not None and tokenizer.chat_template is not None


def texts_of(tokenizer, records: Iterable[Record]) -> Iterable[str]:
    """Every text of the records as the tokenizer will see it.

    Args:
        tokenizer: for its chat template; None is the template of ``tokenizer.build``.
        records: preferences, thumbs or groups.

    Raises:
        BadCheckpoint: the chat template refuses a conversation.
    """
    for record in records:
        try:
            rendered = render(tokenizer, record)
        except Refusal as refusal:
            raise bad(tokenizer, "chat template", str(refusal)) from None
        yield rendered.prompt
        yield from rendered.answers


def greeting(tokenizer) -> tuple[str, str]:
    """Two turns as a chat template writes them: up to the end of the words, and after.

    Both are "" where there is no template, or where it refuses them.
    """
    if not has_template(tokenizer):
        return "", ""
    said = "Good day."
    talk = (Message("user", "Hello."), Message("assistant", said))
    try:
        whole = _write(tokenizer, talk, None)
    except Refusal:
        return "", ""
    words, last, end = whole.rpartition(said)
    return words + last, end if last else ""


def unwritten(tokenizer, record: Record) -> set[str]:
    """Keys of a record's messages that its template leaves out: they change nothing."""
    turns = (record.prompt, *responses_of(record))
    messages = [m for text in turns if not isinstance(text, str) for m in text]
    keys = {k for m in messages for k, v in m.extra.items() if v not in (None, [], "")}
    if not keys or not has_template(tokenizer):
        return keys
    whole, tools = tuple(messages), _tools(record.extra)

    def written(turns: Sequence[Message]) -> str | None:
        try:
            return _write(tokenizer, turns, tools)
        except Refusal:
            return None

    before = written(whole)
    return {k for k in keys if written([_without(m, k) for m in whole]) == before}


def bad(tokenizer, reason: str, detail: str) -> BadCheckpoint:
    """The error of a tokenizer, under its folder's name."""
    return BadCheckpoint(tokenizer.name_or_path or "tokenizer", reason, detail)


def reason(error: Exception) -> str:
    """A foreign exception in one short line."""
    name, message = type(error).__name__, str(error).strip()
    return printable(f"{name}: {message.splitlines()[0]}" if message else name, 200)


def _write(tokenizer, turns, tools, open_end: bool = False) -> str:
    """A conversation by the template; with ``open_end`` up to an answer's start."""
    continued = open_end and turns[-1].role == "assistant"
    messages = [
        {"role": m.role, "content": m.content}
        | {k: v for k, v in m.extra.items() if v is not None}
        for m in turns
    ]
    if not has_template(tokenizer):
        if tools or any(m.get(CALLS) for m in messages):
            raise Refusal("there is no chat template, and tools need one")
        return _plain(messages, open_end and not continued)
    try:
        return tokenizer.apply_chat_template(
            messages,
            tools=tools or None,
            tokenize=False,
            add_generation_prompt=open_end and not continued,
            continue_final_message=continued,
        )
    except Exception as error:  # a template is a program: it may raise anything
        raise Refusal(reason(error)) from error


def _plain(messages: list[dict[str, Any]], open_end: bool) -> str:
    """``CHAT_TEMPLATE``, rendered by hand."""
    names = {"user": "Human", "assistant": "Assistant", "system": "System"}
    turns = [f"\n\n{names.get(m['role'], m['role'])}: {m['content']}" for m in messages]
    return "".join(turns) + ("\n\nAssistant: " if open_end else "")


def _joined(prompt: Sequence[Message], answer: Sequence[Message]) -> list[Message]:
    """A conversation with its answer; a turn that was begun is continued."""
    first, *later = answer
    if prompt[-1].role != "assistant" or first.role != "assistant":
        return [*prompt, *answer]
    begun = prompt[-1]
    both = {**begun.extra, **first.extra}
    whole = Message("assistant", begun.content + first.content, both)
    return [*prompt[:-1], whole, *later]


def _check_prompt(prompt: Sequence[Message], alone: str, shared: int) -> None:
    """The last thing that was asked stands in the shared part as it stands alone."""
    asked = prompt[-1].content.strip()
    at = alone.rfind(asked)
    if asked and at >= 0 and shared < at + len(asked):
        raise Refusal("it writes the prompt otherwise once it is answered")


def _tools(extra: Mapping[str, Any]) -> list[Any]:
    """The tools of a row: a list, or a list as JSON text."""
    tools = extra.get("tools")
    if isinstance(tools, str) and tools.strip():
        try:
            tools = json.loads(tools)
        except ValueError:
            raise Refusal("tools is a text that is no JSON") from None
    if tools is not None and tools != "" and not isinstance(tools, list):
        raise Refusal("tools is no list")
    return tools or []


def _check_calls(tokenizer, prompt, turns, tools, wholes: list[str]) -> None:
    """Tools and calls that a template leaves out would be dropped without a word."""
    for turn, whole in zip(turns, wholes, strict=True):
        talk = _joined(prompt, turn)
        if tools and _write(tokenizer, talk, None) == whole:
            raise Refusal("it does not write tools")
        for i, m in enumerate(talk):
            if m.extra.get(CALLS):
                other = [*talk[:i], _without(m, CALLS), *talk[i + 1 :]]
                if _same(tokenizer, other, tools, whole):
                    raise Refusal(f"it does not write {CALLS}")
            if m.role in TOOLS and m.content:
                other = [*talk[:i], Message(m.role, "", m.extra), *talk[i + 1 :]]
                if _same(tokenizer, other, tools, whole):
                    raise Refusal(f"it does not write what {m.role!r} says")


def _same(tokenizer, talk, tools, whole: str) -> bool:
    try:
        return _write(tokenizer, talk, tools) == whole
    except Refusal:  # then the key mattered
        return False


def _without(message: Message, key: str) -> Message:
    extra = {k: v for k, v in message.extra.items() if k != key}
    return Message(message.role, message.content, extra)
