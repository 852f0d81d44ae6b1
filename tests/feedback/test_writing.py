"""What is written comes back equal, or is refused by name and nothing is written."""

import datetime
import functools
import math

import pytest

from workbench.core.errors import BadFile, BadInput, BadRecord
from workbench.feedback import files
from workbench.feedback.files import Message, PreferenceRecord, ThumbRecord

TURNS = ("assistant", "user")
START = "\n\nHuman: may I?\n\nAssistant:"
ASKED = (Message("user", "p"),)
SUFFIXES = pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])


def pair(**changes) -> PreferenceRecord:
    return PreferenceRecord(**{"prompt": "p", "chosen": "a", "rejected": "b"} | changes)


def talk(chosen="a", keys=None, **changes) -> PreferenceRecord:
    """A pair of messages; the chosen one may have extra keys."""
    fields = {
        "prompt": ASKED,
        "chosen": (Message("assistant", chosen, keys or {}),),
        "rejected": (Message("assistant", "b"),),
    }
    return PreferenceRecord(**fields | changes)


def thumb(**changes) -> ThumbRecord:
    return ThumbRecord(**{"prompt": "p", "completion": "a", "label": True} | changes)


def forged(record, **fields):
    """A record with values that its type checker would not let pass."""
    for name, value in fields.items():
        object.__setattr__(record, name, value)
    return record


def transcript(**changes) -> PreferenceRecord:
    return pair(prompt=START, chosen=" yes", rejected=" you", **changes)


READ_REFUSES = {
    "empty response": [pair(chosen="")],
    "blank response": [pair(), pair(rejected=" \n\t")],
    "response of zero width": [pair(chosen="\u200b\u2060")],
    "equal responses": [pair(), pair(chosen="b ")],
    "equal records": [pair(), pair(prompt="q"), pair()],
    "equal thumbs": [thumb(), thumb()],
    "long text": [pair(prompt="p" * 100_001)],
    "several turns chosen": [
        forged(talk(), chosen=tuple(Message(r, r) for r in TURNS)),
    ],
    "several turns on both sides": [
        forged(
            talk(),
            chosen=tuple(Message(r, r) for r in TURNS),
            rejected=tuple(Message(r, r) for r in TURNS),
        ),
    ],
    "several turns completed": [
        thumb(prompt=ASKED, completion=(Message("assistant", "a"),) * 2)
    ],
    "a thumb that is 2": [forged(thumb(), label=2)],
    "a thumb that is text": [forged(thumb(), label="true")],
    "a thumb that is none": [forged(thumb(), label=None)],
    "no messages": [talk(prompt=())],
    "an answer of the user": [forged(talk(), chosen=(Message("user", "a"),))],
    "two users": [talk(prompt=ASKED * 2)],
    "a prompt of the system": [talk(prompt=(Message("system", "p"),))],
    "a prompt that is a number": [forged(pair(), prompt=3)],
    "a chosen that is null": [forged(pair(), chosen=None)],
    "text and messages": [pair(chosen=(Message("assistant", "a"),))],
    "messages and text": [talk(rejected="b")],
    "content that is a number": [
        forged(talk(), chosen=(forged(Message("assistant", ""), content=3),))
    ],
    "a list of messages": [forged(talk(), prompt=list(ASKED))],
    "messages that are rows": [
        forged(talk(), prompt=({"role": "user", "content": "p"},))
    ],
    "extras that are a list": [forged(pair(), extra=[("a", 1)])],
    "half a surrogate pair": [pair(prompt="\ud800")],
}


@SUFFIXES
@pytest.mark.parametrize("name", READ_REFUSES)
def test_what_read_would_refuse_is_not_written(tmp_path, suffix, name):
    path = files.write(tmp_path / f"a{suffix}", [pair(prompt="before")])
    before = path.read_bytes()
    with pytest.raises(BadInput) as caught:
        files.write(path, READ_REFUSES[name])
    assert caught.value.file == path
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


OTHER_FORMS = {
    "thumbs with a pair": (None, thumb(extra={"chosen": "x", "rejected": "y"})),
    "thumbs with messages": (
        None,
        thumb(prompt=ASKED, completion=(Message("assistant", "a"),), extra={
            "chosen": [{"role": "assistant", "content": "x"}],
            "rejected": [{"role": "assistant", "content": "y"}],
        }),
    ),
    "transcripts with a prompt": ("transcripts", transcript(extra={"prompt": "x"})),
    "transcripts with their prompt": (
        "transcripts", transcript(extra={"prompt": START})
    ),
    "transcripts with a null prompt": (
        "transcripts", transcript(extra={"prompt": None})
    ),
    "message transcripts with a prompt": (
        "transcripts", talk(extra={"prompt": "p"})
    ),
    "pairs with a prompt": (None, pair(extra={"prompt": "q"})),
    "text in messages": ("conversational", pair()),
    "messages in text": ("standard", talk()),
    "a thumb in a pair": ("standard", thumb()),
    "a pair in thumbs": ("thumbs", pair()),
    "a role among the keys": (None, talk(keys={"role": "user"})),
    "content among the keys": (None, talk(keys={"content": "x"})),
}  # fmt: skip


@SUFFIXES
@pytest.mark.parametrize("name", OTHER_FORMS)
def test_what_read_would_take_for_another_record_is_not_written(tmp_path, suffix, name):
    form, record = OTHER_FORMS[name]
    with pytest.raises(BadRecord):
        files.write(tmp_path / f"a{suffix}", [record], form)
    assert not list(tmp_path.iterdir())


EXTRAS = {
    "numbers": [{"id": 1}, {"id": 2}],
    "a number beyond 64 bits": [{"id": 2**70}],
    "integers and a fraction": [{"score": 1}, {"score": 1.5}],
    "an integer no fraction can be": [{"id": 2**60 + 1}, {"id": 1.5}],
    "no number": [{"score": math.nan}],
    "infinity": [{"score": math.inf}, {"score": -0.0}],
    "a thousand digits": [{"id": 10**5000}],
    "missing": [{"id": 1}, {}],
    "null": [{"id": None}],
    "null and not": [{"id": None}, {"id": 1}],
    "a key that is a number": [{1: "x"}],
    "a key that is none": [{None: "x"}],
    "keys of two types": [{1: "x", "1": "y"}],
    "nested": [{"meta": {"a": [1, {"b": None}]}}],
    "nested otherwise": [{"meta": {"a": 1}}, {"meta": {"b": 2}}],
    "a nested key that is a number": [{"meta": {1: "x"}}],
    "an empty object": [{"meta": {}}],
    "an empty list": [{"meta": []}, {"meta": [1]}],
    "a tuple": [{"meta": (1, 2)}],
    "a set": [{"meta": {1}}],
    "bytes": [{"meta": b"\xff"}],
    "a date": [{"when": datetime.date(2024, 2, 29)}],
    "an object": [{"meta": object()}],
    "two types": [{"meta": "x"}, {"meta": 1}],
    "text and truth": [{"meta": True}, {"meta": "x"}],
    "half a surrogate pair": [{"meta": "\ud800"}],
    "a name with half a pair": [{"\ud800": "x"}],
    "a field of thumbs": [{"completion": "x"}],
    "both fields of thumbs": [{"completion": "x", "label": True}],
    "dots in the name": [{"a.b": 1, "a": {"b": 2}}],
    "nothing for a name": [{"": 1}],
    "a loop": [loop := {}, loop.update(me=loop)][:1],
    "a tower of lists": [
        {"meta": functools.reduce(lambda x, _: [x], range(20_000), 1)}
    ],
}


@SUFFIXES
@pytest.mark.parametrize("name", EXTRAS)
@pytest.mark.parametrize("where", ["pairs", "thumbs", "transcripts", "messages"])
def test_extra_columns_come_back_equal_or_are_refused(tmp_path, suffix, name, where):
    make = {
        "pairs": lambda i: pair(prompt=f"p{i}"),
        "thumbs": lambda i: thumb(prompt=f"p{i}"),
        "transcripts": lambda i: transcript(),
        "messages": lambda i: talk(chosen=f"a{i}"),
    }[where]
    records = [make(i) for i in range(len(EXTRAS[name]))]
    for record, extra in zip(records, EXTRAS[name], strict=True):
        forged(record.chosen[0] if where == "messages" else record, extra=extra)
    form = "transcripts" if where == "transcripts" else None
    path = tmp_path / f"a{suffix}"
    try:
        files.write(path, records, form)
    except BadInput as error:
        assert error.file == path
        assert not list(tmp_path.iterdir())
    else:
        back = files.read(path).records
        if name == "no number":  # which equals nothing, itself included
            assert repr(back) == repr(tuple(records))
        else:
            assert back == tuple(records)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        *((".jsonl", name) for name in (
            "numbers", "a number beyond 64 bits", "missing", "null", "nested",
            "nested otherwise", "an empty object", "two types", "infinity",
        )),
        *((".parquet", name) for name in ("numbers", "missing", "bytes", "a date")),
    ],
)  # fmt: skip
def test_ordinary_extra_columns_are_not_refused(tmp_path, suffix, name):
    for i, extra in enumerate(EXTRAS[name]):
        assert extra not in EXTRAS[name][:i]
    records = [
        pair(prompt=f"p{i}", extra=extra) for i, extra in enumerate(EXTRAS[name])
    ]
    path = files.write(tmp_path / f"a{suffix}", records)
    assert files.read(path).records == tuple(records)


def test_null_keys_of_a_message_come_back(tmp_path):
    record = talk(keys={"name": None, "tool_calls": []})
    path = files.write(tmp_path / "a.jsonl", [record])
    assert files.read(path).records == (record,)


def test_a_longer_text_is_written_for_a_reader_who_takes_it(tmp_path):
    record, most = pair(prompt="p" * 100_001), 200_000
    path = files.write(tmp_path / "a.jsonl", [record], max_characters=most)
    assert files.read(path, max_characters=most).records == (record,)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("place", ["missing/a", "file/a", "n" * 300, "folder"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, suffix, place):
    (tmp_path / "file").write_text("")
    (tmp_path / f"folder{suffix}").mkdir()
    path = tmp_path / f"{place}{suffix}"
    with pytest.raises(BadFile) as caught:
        files.write(path, [pair()])
    assert (caught.value.file, caught.value.reason) == (path, "cannot be written")
    assert len(list(tmp_path.iterdir())) == 2
