"""The forms of preference data: from the fields of a row to a record, and back.

    standard        prompt, chosen, rejected: strings
    conversational  the same, as lists of {"role", "content"}
    transcripts     chosen, rejected: whole dialogues that share their prompt (HH-RLHF)
    thumbs          prompt, completion, label (true or false)

A transcript is split where the last assistant turn starts. The longest common run of
characters is no boundary: "…Assistant: yes" and "…Assistant: you" share the "y".
"""

from collections.abc import Callable, Mapping
from typing import Any

from workbench.feedback.records import (
    Message,
    PreferenceRecord,
    Record,
    ThumbRecord,
    responses_of,
    text_of,
)
from workbench.feedback.row_errors import Problem, Unreadable
from workbench.feedback.rows import Row, kind
from workbench.feedback.turns import check_prompt, check_role, is_blank

ASSISTANT, HUMAN = "\n\nAssistant:", "\n\nHuman:"


def detect(row: Row) -> str:
    """Name the form of a row by its fields.

    Raises:
        Problem: the fields belong to no form.
    """
    have = {name for name, value in row.items() if value is not None}
    if {"chosen", "rejected"} <= have:
        if "prompt" not in have:
            _check_dialogues(row)
            return "transcripts"
        lists = isinstance(row["chosen"], list) or isinstance(row["prompt"], list)
        return "conversational" if lists else "standard"
    if {"completion", "label"} <= have:
        return "thumbs"
    for halves in (("chosen", "rejected"), ("completion", "label")):
        if have & set(halves):
            _need(row, *halves)
    expected = (
        "expected prompt, chosen, rejected, or chosen, rejected (transcripts), or "
        "prompt, completion, label"
    )
    raise Problem("missing field", f"found {_found(row)}; {expected}")


def _check_dialogues(row: Row) -> None:
    """Without a prompt the responses must hold it; else it is what is missing."""
    pair = row["chosen"], row["rejected"]
    if all(isinstance(text, str) and ASSISTANT not in text for text in pair):
        null = "prompt is null" if "prompt" in row else "no prompt"
        whole = f"without it chosen is a dialogue with {ASSISTANT!r}"
        raise Problem("missing field", f"{null}; found {_found(row)}; {whole}")


def parse(row: Row, form: str, max_characters: int) -> Record:
    """Turn a row of a known form into a record.

    Args:
        row: fields of one line.
        form: a key of ``FORMS``.
        max_characters: longest prompt or response that is accepted.

    Raises:
        Problem: the row is not usable, with the reason.
    """
    record = FORMS[form](row)
    names = ("prompt", *_FIELDS[form])
    texts = (record.prompt, *responses_of(record))
    for name, text in zip(names, texts, strict=True):
        length = len(text_of(text))
        if length > max_characters:
            raise Problem(
                "over-long text",
                f"{name} has {length} characters, the limit is {max_characters}",
            )
        if name != "prompt" and is_blank(text_of(text)):
            raise Problem("empty response", f"{name} has no text")
    if isinstance(record, PreferenceRecord):
        if text_of(record.chosen).strip() == text_of(record.rejected).strip():
            raise Problem("chosen equals rejected", "a pair needs two responses")
    return record


def unparse(record: object, form: str) -> dict[Any, Any]:
    """Turn a record into the row of a form; it need not have the types it declares.

    Raises:
        Problem: the record cannot be said in this form.
    """
    if not isinstance(record, PreferenceRecord | ThumbRecord):
        raise Problem("wrong type", f"{kind(record)} is no record")
    if isinstance(record, ThumbRecord) != (form == "thumbs"):
        raise Problem("wrong form", f"a {type(record).__name__} is no {form} row")
    names = ("prompt", *_FIELDS[form])
    row: dict[Any, Any] = {name: _plain(getattr(record, name)) for name in names}
    lists = isinstance(row["prompt"], list)
    if any(isinstance(text, list) != lists for text in row.values()):
        raise Problem("wrong form", "text and messages in one record")
    if isinstance(record, ThumbRecord):
        row["label"] = record.label
    if form == "standard" and lists:
        raise Problem("wrong form", "a conversation is written as conversational")
    if form == "conversational" and not lists:
        raise Problem("wrong form", "text is written as standard, not in messages")
    if form == "transcripts" and isinstance(record, PreferenceRecord):
        prompt = row.pop("prompt")
        row = {name: prompt + response for name, response in row.items()}
        again = _transcripts(row)
        if (again.prompt, again.chosen) != (record.prompt, record.chosen):
            raise Problem(
                "wrong form", "the prompt must end where the assistant starts"
            )
    extra = _mapping(record.extra)
    clash = sorted(row.keys() & extra.keys())
    if clash:
        raise Problem("wrong form", f"extra columns named like fields: {clash}")
    return row | extra


def _plain(text: object) -> str | list[dict[Any, Any]]:
    if isinstance(text, str):
        return text
    if not isinstance(text, tuple) or not all(isinstance(m, Message) for m in text):
        raise Problem("wrong type", f"{kind(text)} is neither text nor messages")
    return [{"role": m.role, "content": m.content} | _mapping(m.extra) for m in text]


def _mapping(extra: object) -> dict[Any, Any]:
    if not isinstance(extra, Mapping):
        raise Problem("wrong type", f"extra is {kind(extra)}, not a mapping")
    return dict(extra)


def _need(row: Row, *names: str) -> list[Any]:
    for name in names:
        if isinstance(value := row.get(name), Unreadable):
            raise Problem(value.reason, f"{name}: {value.detail}")
    missing = [name for name in names if name not in row]
    nulls = [name for name in names if name in row and row[name] is None]
    if missing:
        raise Problem("missing field", f"no {', '.join(missing)}; found {_found(row)}")
    if nulls:
        raise Problem("missing field", f"{', '.join(nulls)} is null")
    return [row[name] for name in names]


def _found(row: Row) -> str:
    names = [str(name) for name, value in row.items() if value is not None]
    return ", ".join(names) or "nothing"


def _rest(row: Row, *names: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in names}


def _string(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise Problem(
            "wrong type", f"{name} is {kind(value)}, this form has strings there"
        )
    return value


def _messages(value: object, name: str) -> tuple[Message, ...]:
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
            _string(turn[key], f"{name}[{i}].{key}")
        check_role(turn["role"])
        extra = _rest(turn, "role", "content")
        turns.append(Message(turn["role"], turn["content"], extra))
    return tuple(turns)


def _answer(turns: tuple[Message, ...], name: str) -> tuple[Message, ...]:
    if turns[-1].role != "assistant":
        raise Problem(
            "no assistant turn",
            f"{name} ends with a turn of {turns[-1].role!r}, not of 'assistant'",
        )
    return turns[-1:]


def _standard(row: Row) -> PreferenceRecord:
    fields = ("prompt", "chosen", "rejected")
    prompt, chosen, rejected = map(_string, _need(row, *fields), fields)
    return PreferenceRecord(prompt, chosen, rejected, _rest(row, *fields))


def _conversational(row: Row) -> PreferenceRecord:
    fields = ("prompt", "chosen", "rejected")
    prompt, *pair = _need(row, *fields)
    if isinstance(prompt, str):  # UltraFeedback: the question beside two dialogues
        asked: tuple[Message, ...] = (Message("user", prompt),)
    else:
        asked = _messages(prompt, "prompt")
    chosen, rejected = map(_messages, pair, fields[1:])
    shared = _shared(chosen, rejected)
    if shared and not _alike(shared[-len(asked) :], asked):
        raise Problem("prompt not in the dialogues", "chosen does not continue prompt")
    ends = _answer(chosen, "chosen"), _answer(rejected, "rejected")
    check_prompt(shared or asked)
    return PreferenceRecord(shared or asked, *ends, _rest(row, *fields))


def _alike(one: tuple[Message, ...], other: tuple[Message, ...]) -> bool:
    """Whether both say the same; a key that is null says what an absent one does."""

    def known(turn: Message) -> tuple[str, str, dict[str, Any]]:
        extra = {k: v for k, v in turn.extra.items() if v is not None}
        return turn.role, turn.content, extra

    return list(map(known, one)) == list(map(known, other))


def _shared(chosen: tuple, rejected: tuple) -> tuple:
    if not _alike(chosen[:-1], rejected[:-1]):
        raise Problem(
            "prompts differ", "chosen and rejected differ before the last turn"
        )
    return chosen[:-1]


def _transcripts(row: Row) -> PreferenceRecord:
    chosen, rejected = _need(row, "chosen", "rejected")
    if isinstance(chosen, list) or isinstance(rejected, list):
        return _message_transcripts(row)
    prompt, good = _split(_string(chosen, "chosen"), "chosen")
    other, bad = _split(_string(rejected, "rejected"), "rejected")
    if prompt != other:
        at = _first_difference(prompt, other)
        raise Problem(
            "prompts differ",
            f"before the last {ASSISTANT.strip()!r} the two transcripts part at "
            f"character {at}: {prompt[at : at + 20]!r} and {other[at : at + 20]!r}",
        )
    if row.get("prompt") is not None and _need(row, "prompt") != [prompt]:
        raise Problem("prompt not in the dialogues", "the transcripts start otherwise")
    return PreferenceRecord(
        prompt, good, bad, _rest(row, "prompt", "chosen", "rejected")
    )


def _message_transcripts(row: Row) -> PreferenceRecord:
    if row.get("prompt") is not None:
        return _conversational(row)
    chosen = _messages(row["chosen"], "chosen")
    rejected = _messages(row["rejected"], "rejected")
    prompt = _shared(chosen, rejected)
    if not prompt:
        raise Problem("no prompt", "one turn a side: what do the responses answer?")
    ends = _answer(chosen, "chosen"), _answer(rejected, "rejected")
    check_prompt(prompt)
    rest = _rest(row, "prompt", "chosen", "rejected")
    return PreferenceRecord(prompt, *ends, rest)


def _split(transcript: str, name: str) -> tuple[str, str]:
    at = transcript.rfind(ASSISTANT)
    if at < 0:
        raise Problem("no assistant turn", f"{name} has no {ASSISTANT!r}")
    end = at + len(ASSISTANT)
    if HUMAN in transcript[end:]:
        raise Problem("no assistant turn", f"{name} ends with a turn of the human")
    if not transcript[:at].strip():
        raise Problem("no prompt", f"{name} starts with the assistant's turn")
    return transcript[:end], transcript[end:]


def _first_difference(a: str, b: str) -> int:
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


def _thumbs(row: Row) -> ThumbRecord:
    fields = ("prompt", "completion", "label")
    prompt, completion, label = _need(row, *fields)
    if not isinstance(label, bool):
        raise Problem("wrong type", f"label is {label!r}, not true or false")
    if isinstance(prompt, list) or isinstance(completion, list):
        asked = _messages(prompt, "prompt")
        check_prompt(asked)
        turns = _messages(completion, "completion")
        if len(turns) > 1:
            raise Problem("wrong type", "completion has more than one message")
        return ThumbRecord(
            asked, _answer(turns, "completion"), label, _rest(row, *fields)
        )
    prompt = _string(prompt, "prompt")
    completion = _string(completion, "completion")
    return ThumbRecord(prompt, completion, label, _rest(row, *fields))


FORMS: dict[str, Callable[[Row], Record]] = {
    "standard": _standard,
    "conversational": _conversational,
    "transcripts": _transcripts,
    "thumbs": _thumbs,
}
_PAIR = ("chosen", "rejected")
_FIELDS = dict.fromkeys(FORMS, _PAIR) | {"thumbs": ("completion",)}
