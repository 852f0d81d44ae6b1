"""Who may speak when in a conversation, and which responses say nothing."""

import json

import pytest

from workbench.core.errors import BadRecord
from workbench.feedback import files


def turns(roles: str) -> list[dict]:
    """Messages of roles given by their initials, each with words of its own."""
    names = {"s": "system", "d": "developer", "u": "user", "a": "assistant"}
    names |= {"t": "tool", "f": "function"}
    return [{"role": names[r], "content": f"{r}{i}"} for i, r in enumerate(roles)]


def answers(good: str = "good", bad: str = "bad") -> list[list[dict]]:
    return [[{"role": "assistant", "content": text}] for text in (good, bad)]


def shapes(prompt: list[dict]) -> dict[str, dict]:
    """A prompt in every form that holds messages."""
    good, bad = answers()
    return {
        "conversational": {"prompt": prompt, "chosen": good, "rejected": bad},
        "transcripts": {"chosen": prompt + good, "rejected": prompt + bad},
        "thumbs": {"prompt": prompt, "completion": good, "label": True},
        "beside": {
            "prompt": prompt[-1:],
            "chosen": prompt + good,
            "rejected": prompt + bad,
        },
    }


SHAPES = pytest.mark.parametrize("shape", list(shapes(turns("u"))))


def save(path, *rows: dict):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@SHAPES
@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ("s", "a system message alone"),
        ("a", "starts with 'assistant'"),
        ("sau", "starts with 'assistant'"),
        ("t", "starts with 'tool'"),
        ("uu", "two turns of 'user'"),
        ("suu", "two turns of 'user'"),
        ("uauu", "two turns of 'user'"),
        ("uaau", "two turns of 'assistant'"),
        ("us", "'system' stands after the first message"),
        ("uasu", "'system' stands after the first message"),
        ("ssu", "starts with 'system'"),
    ],
)
def test_turns_out_of_order_are_refused_with_their_line(
    tmp_path, shape, roles, message
):
    check_refused(tmp_path, shape, roles, message)


@pytest.mark.parametrize(
    ("shape", "roles", "message"),
    [
        ("conversational", "au", "starts with 'assistant'"),
        ("transcripts", "au", "starts with 'assistant'"),
        ("transcripts", "ua", "two turns of 'assistant'|ends with a turn of 'assis"),
        ("beside", "uaua", "two turns of 'assistant'|ends with a turn of 'assis"),
    ],
)
def test_a_dialogue_has_no_turn_that_was_only_begun(tmp_path, shape, roles, message):
    check_refused(tmp_path, shape, roles, message)


def check_refused(tmp_path, shape, roles, message):
    good, bad = shapes(turns("u"))[shape], shapes(turns(roles))[shape]
    path = save(tmp_path / "a.jsonl", good, bad)
    with pytest.raises(BadRecord, match=message) as caught:
        files.read(path)
    assert (caught.value.line, caught.value.reason) == (2, "turns out of order")
    with pytest.warns(files.SkippedRecords, match="1 turns out of order"):
        assert files.read(path, skip_bad=True).lines == (1,)


@SHAPES
@pytest.mark.parametrize(
    "roles", ["u", "su", "du", "uau", "suauau", "uatau", "uat", "uatt", "uafatau"]
)
def test_conversations_with_system_and_tools_are_read_as_they_are(
    tmp_path, shape, roles
):
    prompt = turns(roles)
    (record,) = files.read(save(tmp_path / "a.jsonl", shapes(prompt)[shape])).records
    assert [{"role": m.role, "content": m.content} for m in record.prompt] == prompt


@SHAPES
@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("wizard", "'wizard' is none of system"),
        ("", "'' is none of system"),
        ("User", "it is called 'user'"),
        ("function_call", "is none of system"),
    ],
)
def test_a_role_that_nobody_knows_is_refused(tmp_path, shape, role, message):
    prompt = [{"role": role, "content": "hi"}, *turns("u")]
    path = save(tmp_path / "a.jsonl", shapes(prompt)[shape])
    with pytest.raises(BadRecord, match=f"line 1: unknown role: .*{message}"):
        files.read(path)


@pytest.mark.parametrize("side", ["chosen", "rejected", "completion"])
def test_the_role_of_an_answer_is_checked_too(tmp_path, side):
    row = shapes(turns("u"))["thumbs" if side == "completion" else "conversational"]
    row |= {side: [{"role": "wizard", "content": "hello"}]}
    with pytest.raises(BadRecord, match="unknown role: 'wizard'"):
        files.read(save(tmp_path / "a.jsonl", row))


@SHAPES
def test_the_roles_of_other_formats_are_known(tmp_path, shape):
    other = {"user": "human", "assistant": "gpt", "tool": "observation"}
    prompt = turns("uatau")
    row = json.loads(json.dumps(shapes(prompt)[shape]))  # no turn stands in two sides
    for side in row.values():
        for turn in side if isinstance(side, list) else ():
            turn["from"] = other.get(turn["role"], turn.pop("role"))
            turn["value"] = turn.pop("content")
            turn.pop("role", None)
    (record,) = files.read(save(tmp_path / "a.jsonl", row)).records
    assert [
        m.role for m in record.prompt
    ] == "user assistant tool assistant user".split()


@pytest.mark.parametrize("shape", ["conversational", "thumbs"])
def test_a_response_may_go_on_with_a_turn_that_was_begun(tmp_path, shape):
    row = shapes(turns("ua"))[shape]
    (record,) = files.read(save(tmp_path / "a.jsonl", row)).records
    assert [m.role for m in record.prompt] == ["user", "assistant"]


def test_a_null_key_of_a_shared_turn_does_not_part_two_dialogues(tmp_path):
    prompt, (good, bad) = turns("sua") + turns("u"), answers()
    nulls = [turn | {"tool_calls": None} for turn in prompt]
    row = {"prompt": prompt[-1:], "chosen": nulls + good, "rejected": prompt + bad}
    (record,) = files.read(save(tmp_path / "a.jsonl", row)).records
    assert [turn.content for turn in record.prompt] == [t["content"] for t in prompt]


BLANK = ["", " ", "\n\t\r", "\u00a0\u3000\u2028", "\u200b\u200c\u200d\u2060\ufeff"]
BLANK += ["\x00\x07\x1b\x7f", "\u00ad", "\u202e\u2066", "\u3164\u2800", "\ufe0f"]
BLANK += [" \u200b\n\x00"]


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.parametrize("side", ["chosen", "rejected", "completion"])
@pytest.mark.parametrize("as_messages", [False, True])
def test_a_response_that_shows_nothing_is_empty(tmp_path, blank, side, as_messages):
    fields = {"prompt": "p", "chosen": "a", "rejected": "b"}
    if side == "completion":
        fields = {"prompt": "p", "completion": "a", "label": True}
    fields[side] = blank
    if as_messages:
        role = {"prompt": "user"}
        fields = {
            name: [{"role": role.get(name, "assistant"), "content": text}]
            if isinstance(text, str)
            else text
            for name, text in fields.items()
        }
    with pytest.raises(BadRecord, match=f"line 1: empty response: {side} has no text"):
        files.read(save(tmp_path / "a.jsonl", fields))


@pytest.mark.parametrize(
    "text", ["0", ".", "😀", "👩\u200d💻", "\u0301", "न\u200dx", "¿"]
)
def test_a_response_of_one_sign_is_no_empty_one(tmp_path, text):
    row = {"prompt": "p", "chosen": text, "rejected": "b"}
    assert files.read(save(tmp_path / "a.jsonl", row)).records[0].chosen == text
