"""The forms of preference data: from the fields of a row to a record, and back.

    standard        prompt, chosen, rejected: strings
    conversational  the same, as lists of {"role", "content"}
    transcripts     chosen, rejected: whole dialogues that share their prompt (HH-RLHF)
    thumbs          prompt, completion, label (true or false)
    completions, scored, ranked    several responses: see ``feedback.group_forms``

A transcript is split where the first assistant turn that differs starts, or the last
one if none differs before it. The longest common run of characters is no boundary:
"…Assistant: yes" and "…Assistant: you" share the "y".
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from workbench.feedback import group_forms
from workbench.feedback.records import (
    GroupRecord,
    Message,
    PreferenceRecord,
    Record,
    Text,
    ThumbRecord,
    responses_of,
    text_of,
)
from workbench.feedback.row_errors import Problem
from workbench.feedback.row_fields import (
    found,
    messages,
    need,
    reply,
    rest,
    string,
)
from workbench.feedback.rows import Row, kind
from workbench.feedback.turns import check_prompt, check_reply, is_blank

Turns = tuple[Message, ...]
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
        texts = all(isinstance(row[name], str) for name in ("prompt", "chosen"))
        return "standard" if texts else "conversational"
    if {"completion", "label"} <= have:
        return "thumbs"
    if several := group_forms.detect(row):
        return several
    for halves in (("chosen", "rejected"), ("completion", "label")):
        if have & set(halves):
            need(row, *halves)
    expected = (
        "expected prompt, chosen, rejected, or chosen, rejected (transcripts), or "
        "prompt, completion, label, or prompt, responses and scores or ranks"
    )
    raise Problem("missing field", f"found {found(row)}; {expected}")


def _check_dialogues(row: Row) -> None:
    """Without a prompt the responses must hold it; else it is what is missing."""
    pair = row["chosen"], row["rejected"]
    if all(isinstance(text, str) and ASSISTANT not in text for text in pair):
        null = "prompt is null" if "prompt" in row else "no prompt"
        whole = f"without it chosen is a dialogue with {ASSISTANT!r}"
        raise Problem("missing field", f"{null}; found {found(row)}; {whole}")


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
    if _is_plain(record, max_characters):
        return record
    responses = responses_of(record)
    several = (f"responses[{i}]" for i in range(len(responses)))
    names = ("prompt", *_FIELDS.get(form, several))
    for name, text in zip(names, (record.prompt, *responses), strict=True):
        length = len(text_of(text))
        if length > max_characters:
            raise Problem(
                "over-long text",
                f"{name} has {length} characters, the limit is {max_characters}",
            )
        if name != "prompt" and is_blank(text_of(text)) and not _calls(text):
            raise Problem("empty response", f"{name} has no text")
    if isinstance(record, PreferenceRecord):
        same = text_of(record.chosen).strip() == text_of(record.rejected).strip()
        if same and not (_calls(record.chosen) or _calls(record.rejected)):
            raise Problem("chosen equals rejected", "a pair needs two responses")
    if isinstance(record, GroupRecord):
        group_forms.check_pair(record)
    return record


def _is_plain(record: Record, most: int) -> bool:
    """Whether nothing can be wrong with a pair of texts, by a look that is fast."""
    if not isinstance(record, PreferenceRecord):
        return False
    prompt, chosen, rejected = record.prompt, record.chosen, record.rejected
    if not (isinstance(chosen, str) and isinstance(rejected, str)):
        return False
    return (
        max(len(text_of(prompt)), len(chosen), len(rejected)) <= most
        and "!" <= chosen[:1] <= "~"
        and "!" <= rejected[:1] <= "~"
        and chosen.rstrip() != rejected.rstrip()
    )


def _calls(text: Text) -> bool:
    """Whether a response calls a tool, which needs no words."""
    return any(m.extra.get("tool_calls") for m in text if isinstance(m, Message))


def unparse(record: object, form: str) -> dict[Any, Any]:
    """Turn a record into the row of a form; it need not have the types it declares.

    Raises:
        Problem: the record cannot be said in this form.
    """
    if isinstance(record, GroupRecord):
        return group_forms.unparse(record, form)
    if not isinstance(record, PreferenceRecord | ThumbRecord):
        raise Problem("wrong type", f"{kind(record)} is no record")
    if form not in _FIELDS:
        raise Problem("wrong form", f"a {type(record).__name__} is no {form} row")
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


def _standard(row: Row) -> PreferenceRecord:
    fields = ("prompt", "chosen", "rejected")
    prompt, chosen, rejected = map(string, need(row, *fields), fields)
    extra = rest(row, *fields) if len(row) > 3 else {}
    return PreferenceRecord(prompt, chosen, rejected, extra)


def _conversational(row: Row) -> PreferenceRecord:
    fields = ("prompt", "chosen", "rejected")
    prompt, *pair = need(row, *fields)
    if len({isinstance(side, str) for side in pair}) > 1:
        raise Problem("wrong type", "one of chosen and rejected is a text, one is not")
    asked = _asked(prompt)
    whole = [_dialogue(side, name) for side, name in zip(pair, fields[1:], strict=True)]
    extra = rest(row, *fields)
    if all(turns[0].role == "assistant" for turns in whole):
        check_prompt(asked, begun=True)
        good, bad = map(reply, pair, fields[1:])
        return PreferenceRecord(asked, good, bad, extra)
    # UltraFeedback: the question beside two dialogues that hold it
    shared, good, bad = _parted(*whole)
    if not _alike(shared[-len(asked) :], asked) and not _alike(
        shared[: len(asked)], asked
    ):
        raise Problem("prompt not in the dialogues", "chosen does not continue prompt")
    check_prompt(shared)
    return PreferenceRecord(shared, good, bad, extra)


def _asked(prompt: object) -> Turns:
    """A prompt as a conversation; a text is what the user said."""
    if isinstance(prompt, str):
        return (Message("user", prompt),)
    return messages(prompt, "prompt")


def _dialogue(side: object, name: str) -> Turns:
    """The turns of a side; a text is the assistant's."""
    return reply(side, name) if isinstance(side, str) else messages(side, name)


def _alike(one: Turns, other: Turns) -> bool:
    """Whether both say the same; a key that is null says what an absent one does."""

    def known(turn: Message) -> tuple[str, str, dict[str, Any]]:
        extra = {k: v for k, v in turn.extra.items() if v is not None}
        return turn.role, turn.content, extra

    return list(map(known, one)) == list(map(known, other))


def _parted(chosen: Turns, rejected: Turns) -> tuple[Turns, Turns, Turns]:
    """What two dialogues share before an answer of the assistant, and their ends."""
    most = min(len(chosen), len(rejected)) - 1
    at = next((i for i in range(most) if not _alike(chosen[i:][:1], rejected[i:][:1])),
              most)  # fmt: skip
    good, bad = _ending(chosen[at:], "chosen"), _ending(rejected[at:], "rejected")
    return chosen[:at], good, bad


def _ending(turns: Turns, name: str) -> Turns:
    """The turns in which a dialogue differs; they are the assistant's to begin."""
    if len(turns) > 1 and turns[0].role != "assistant":
        detail = f"{name} differs first in a turn of {turns[0].role!r}"
        raise Problem("prompts differ", detail)
    check_reply(turns, name)
    return turns


def _transcripts(row: Row) -> PreferenceRecord:
    chosen, rejected = need(row, "chosen", "rejected")
    if isinstance(chosen, list) or isinstance(rejected, list):
        return _message_transcripts(row)
    prompt, good = _split(string(chosen, "chosen"), "chosen")
    other, bad = _split(string(rejected, "rejected"), "rejected")
    if prompt != other:
        prompt, good, bad = _part(prompt + good, other + bad)
    if row.get("prompt") is not None and need(row, "prompt") != [prompt]:
        raise Problem("prompt not in the dialogues", "the transcripts start otherwise")
    return PreferenceRecord(
        prompt, good, bad, rest(row, "prompt", "chosen", "rejected")
    )


def _message_transcripts(row: Row) -> PreferenceRecord:
    if row.get("prompt") is not None:
        return _conversational(row)
    chosen = messages(row["chosen"], "chosen")
    rejected = messages(row["rejected"], "rejected")
    prompt, good, bad = _parted(chosen, rejected)
    if not prompt:
        raise Problem("no prompt", "no turn is shared: what do the responses answer?")
    check_prompt(prompt)
    extra = rest(row, "prompt", "chosen", "rejected")
    return PreferenceRecord(prompt, good, bad, extra)


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


def _part(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Two transcripts that part before their last turn: at the first that differs."""
    turns = [re.split(f"(?={HUMAN}|{ASSISTANT})", side) for side in (chosen, rejected)]
    pairs = zip(*turns, strict=False)
    at = next(i for i, (one, other) in enumerate(pairs) if one != other)
    if not all(len(side) > at and side[at].startswith(ASSISTANT) for side in turns):
        first = _first_difference(chosen, rejected)
        raise Problem(
            "prompts differ",
            f"the two transcripts part at character {first}, in a turn of the human: "
            f"{chosen[first : first + 20]!r} and {rejected[first : first + 20]!r}",
        )
    shared = "".join(turns[0][:at]) + ASSISTANT
    if not shared.removesuffix(ASSISTANT).strip():
        raise Problem("no prompt", "chosen starts with the assistant's turn")
    return shared, chosen[len(shared) :], rejected[len(shared) :]


def _first_difference(a: str, b: str) -> int:
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


def _thumbs(row: Row) -> ThumbRecord:
    fields = ("prompt", "completion", "label")
    prompt, completion, label = need(row, *fields)
    if label not in (0, 1):
        raise Problem("wrong type", f"label is {label!r}, not true, false, 0 or 1")
    label = bool(label)
    if not (isinstance(prompt, str) and isinstance(completion, str)):
        asked = _asked(prompt)
        check_prompt(asked, begun=True)
        said = reply(completion, "completion")
        return ThumbRecord(asked, said, label, rest(row, *fields))
    prompt = string(prompt, "prompt")
    completion = string(completion, "completion")
    return ThumbRecord(prompt, completion, label, rest(row, *fields))


FORMS: dict[str, Callable[[Row], Record]] = {
    "standard": _standard,
    "conversational": _conversational,
    "transcripts": _transcripts,
    "thumbs": _thumbs,
}
_PAIR = ("chosen", "rejected")
_FIELDS = dict.fromkeys(FORMS, _PAIR) | {"thumbs": ("completion",)}
FORMS |= group_forms.FORMS
