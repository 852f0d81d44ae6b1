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
    Text,
    ThumbRecord,
    responses_of,
    text_of,
)

ASSISTANT, HUMAN = "\n\nAssistant:", "\n\nHuman:"
Row = Mapping[str, Any]


class Problem(Exception):
    """Why a row is no record; the reader adds the file and the line.

    Attributes:
        reason: short phrase that is the same for every case of its kind.
        detail: what was found.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def detect(row: Row) -> str:
    """Name the form of a row by its fields.

    Raises:
        Problem: the fields belong to no form.
    """
    have = {name for name, value in row.items() if value is not None}
    if {"chosen", "rejected"} <= have:
        if "prompt" not in have:
            return "transcripts"
        lists = isinstance(row["chosen"], list) or isinstance(row["prompt"], list)
        return "conversational" if lists else "standard"
    if {"completion", "label"} <= have:
        return "thumbs"
    for halves in (("chosen", "rejected"), ("completion", "label")):
        if have & set(halves):
            _need(row, *halves)
    found = ", ".join(map(str, row)) or "nothing"
    raise Problem(
        "missing field",
        f"found {found}; expected prompt, chosen, rejected, or chosen, rejected "
        "(transcripts), or prompt, completion, label",
    )


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
        if name != "prompt" and not text_of(text).strip():
            raise Problem("empty response", f"{name} has no text")
    if isinstance(record, PreferenceRecord):
        if text_of(record.chosen).strip() == text_of(record.rejected).strip():
            raise Problem("chosen equals rejected", "a pair needs two responses")
    return record


def unparse(record: Record, form: str) -> dict[str, Any]:
    """Turn a record into the row of a form.

    Raises:
        Problem: the record cannot be said in this form.
    """
    if isinstance(record, ThumbRecord) != (form == "thumbs"):
        raise Problem("wrong form", f"a {type(record).__name__} is no {form} row")
    row: dict[str, Any] = {"prompt": _plain(record.prompt)}
    if isinstance(record, ThumbRecord):
        row |= {"completion": _plain(record.completion), "label": record.label}
    else:
        row |= {"chosen": _plain(record.chosen), "rejected": _plain(record.rejected)}
    lists = isinstance(row["prompt"], list)
    if form == "standard" and lists:
        raise Problem("wrong form", "a conversation is written as conversational")
    if form == "conversational" and not lists:
        speakers = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
        row = {k: [{"role": speakers[k], "content": v}] for k, v in row.items()}
    if form == "transcripts":
        prompt = row.pop("prompt")
        row = {name: prompt + response for name, response in row.items()}
        again = _transcripts(row)
        if (again.prompt, again.chosen) != (record.prompt, record.chosen):
            raise Problem(
                "wrong form", "the prompt must end where the assistant starts"
            )
    clash = sorted(set(row) & set(record.extra))
    if clash:
        raise Problem("wrong form", f"extra columns named like fields: {clash}")
    return row | dict(record.extra)


def _plain(text: Text) -> str | list[dict[str, Any]]:
    if isinstance(text, str):
        return text
    return [{"role": m.role, "content": m.content, **m.extra} for m in text]


def _need(row: Row, *names: str) -> list[Any]:
    missing = [name for name in names if row.get(name) is None]
    if missing:
        found = ", ".join(map(str, row)) or "nothing"
        raise Problem("missing field", f"no {', '.join(missing)}; found {found}")
    return [row[name] for name in names]


def _rest(row: Row, *names: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in names}


def _string(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise Problem(
            "wrong type", f"{name} is {kind(value)}, this form has strings there"
        )
    return value


def kind(value: object) -> str:
    """What a value is, in the words of JSON."""
    names = {dict: "an object", list: "a list", bool: "true/false", str: "a string"}
    names |= {int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


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
        # parquet gives every message all keys of the column, null where absent
        extra = {k: v for k, v in turn.items() if k not in ("role", "content")}
        extra = {k: v for k, v in extra.items() if v is not None}
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
    values = zip(_need(row, *fields), fields, strict=True)
    return PreferenceRecord(*(_string(v, n) for v, n in values), _rest(row, *fields))


def _conversational(row: Row) -> PreferenceRecord:
    fields = ("prompt", "chosen", "rejected")
    prompt, *pair = _need(row, *fields)
    if isinstance(prompt, str):  # UltraFeedback: the question beside two dialogues
        asked: tuple[Message, ...] = (Message("user", prompt),)
    else:
        asked = _messages(prompt, "prompt")
    chosen, rejected = map(_messages, pair, fields[1:])
    shared = _shared(chosen, rejected)
    if shared and shared[-len(asked) :] != asked:
        raise Problem("prompt not in the dialogues", "chosen does not continue prompt")
    ends = _answer(chosen, "chosen"), _answer(rejected, "rejected")
    return PreferenceRecord(shared or asked, *ends, _rest(row, *fields))


def _shared(chosen: tuple, rejected: tuple) -> tuple:
    if chosen[:-1] != rejected[:-1]:
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
    given = row.get("prompt")
    if given is not None and given != prompt:
        raise Problem("prompt not in the dialogues", "the transcripts start otherwise")
    return PreferenceRecord(
        prompt, good, bad, _rest(row, "prompt", "chosen", "rejected")
    )


def _message_transcripts(row: Row) -> PreferenceRecord:
    chosen = _messages(row["chosen"], "chosen")
    rejected = _messages(row["rejected"], "rejected")
    prompt = _shared(chosen, rejected)
    if not prompt:
        raise Problem("no prompt", "one turn a side: what do the responses answer?")
    ends = _answer(chosen, "chosen"), _answer(rejected, "rejected")
    return PreferenceRecord(prompt, *ends, _rest(row, "chosen", "rejected"))


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
