"""Preference records: what one line of a preference file says, once it is clean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: who speaks: "user", "assistant", "system", "tool" …
        content: the text of the message.
        extra: the other keys of the message, verbatim.
    """

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)


# Plain text, or a conversation; in a response the assistant speaks first and last.
Text = str | tuple[Message, ...]


@dataclass(frozen=True)
class PreferenceRecord:
    """A prompt with two responses, the first preferred.

    Attributes:
        prompt: what both responses answer.
        chosen: the preferred response.
        rejected: the other one.
        extra: columns beyond these three, verbatim; ``problems.Unreadable`` stands for
            a parquet value that Python cannot hold.
    """

    prompt: Text
    chosen: Text
    rejected: Text
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ThumbRecord:
    """A prompt with one response and a thumb.

    Attributes:
        prompt: what the response answers.
        completion: the response.
        label: True for thumbs up.
        extra: columns beyond these three, as in ``PreferenceRecord``.
    """

    prompt: Text
    completion: Text
    label: bool
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GroupRecord:
    """A prompt with two or more responses and a score for each.

    Attributes:
        prompt: what all responses answer.
        responses: in the order of the file.
        scores: of each response, reward units; greater is better.
        extra: columns beyond these, as in ``PreferenceRecord``.
    """

    prompt: Text
    responses: tuple[Text, ...]
    scores: tuple[float, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)


Record = PreferenceRecord | ThumbRecord | GroupRecord


def text_of(text: Text) -> str:
    """The words of a text, whoever speaks: contents joined by blank lines."""
    if isinstance(text, str):
        return text
    return "\n\n".join(message.content for message in text)


def responses_of(record: Record) -> tuple[Text, ...]:
    """The responses of a record: of a pair the preferred one first."""
    if isinstance(record, GroupRecord):
        return record.responses
    if isinstance(record, PreferenceRecord):
        return record.chosen, record.rejected
    return (record.completion,)
