"""Preference files: every form goes in and out, every bad line has a name."""

import json
import re
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.errors import BadFile, BadInput, BadRecord
from workbench.feedback import files
from workbench.feedback.files import Message, PreferenceRecord, ThumbRecord

GOOD = {"prompt": "film", "chosen": "good fun", "rejected": "dull"}
OTHER = {"prompt": "cast", "chosen": "very good", "rejected": "bad"}
START = "\n\nHuman: may I?\n\nAssistant:"
HH = {"chosen": START + " yes", "rejected": START + " you"}


def turn(role: str, content: str) -> dict:
    return {"role": role, "content": content}


TALK = {
    "prompt": [turn("system", "be short"), turn("user", "film")],
    "chosen": [turn("assistant", "good fun")],
    "rejected": [turn("assistant", "dull")],
}


def lines(path: Path, *rows: dict | str | bytes) -> Path:
    """Write raw lines: dicts as JSON, text and bytes as they are."""
    raw = []
    for row in rows:
        row = json.dumps(row) if isinstance(row, dict) else row
        raw.append(row.encode() if isinstance(row, str) else row)
    path.write_bytes(b"\n".join(raw) + b"\n")
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize(
    ("form", "records"),
    [
        ("standard", [PreferenceRecord("p", "a", "b", {"id": 3, "note": "naïve\n"})]),
        (
            "conversational",
            [
                PreferenceRecord(
                    (Message("user", "p"),),
                    (Message("assistant", "a"),),
                    (Message("assistant", "b", {"name": "x"}),),
                    {"score_chosen": 1.5},
                )
            ],
        ),
        ("transcripts", [PreferenceRecord(START, " yes", " you", {})]),
        ("thumbs", [ThumbRecord("p", "a", True, {}), ThumbRecord("p", "b", False, {})]),
    ],
)
def test_every_form_survives_a_round_trip(tmp_path, suffix, form, records):
    path = files.write(tmp_path / f"pairs{suffix}", records, form)
    read = files.read(path)
    assert read.form == form
    assert list(read.records) == records
    assert read.skipped.total() == 0


def test_a_transcript_is_split_at_the_last_assistant_turn_not_inside_a_word(tmp_path):
    read = files.read(lines(tmp_path / "hh.jsonl", HH))
    assert read.form == "transcripts"
    assert read.records == (PreferenceRecord(START, " yes", " you", {}),)


def test_a_transcript_of_many_turns_keeps_the_earlier_ones_in_the_prompt(tmp_path):
    start = "\n\nHuman: hi\n\nAssistant: hello" + START
    row = {"chosen": start + " yes", "rejected": start + " no"}
    (record,) = files.read(lines(tmp_path / "hh.jsonl", row)).records
    assert (record.prompt, record.chosen, record.rejected) == (start, " yes", " no")


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(question=text, good=text, bad=text)
def test_prompt_plus_response_is_the_transcript_again(
    tmp_path_factory, question, good, bad
):
    words = (question, good, bad)
    if good.strip() == bad.strip() or not all(any(map(str.isalnum, w)) for w in words):
        return
    if any(mark in w for w in words for mark in ("\n\nHuman:", "\n\nAssistant:")):
        return  # a text that holds a turn of its own is another transcript
    prompt = f"\n\nHuman: {question}\n\nAssistant:"
    row = {"chosen": prompt + good, "rejected": prompt + bad}
    path = lines(tmp_path_factory.mktemp("hh") / "hh.jsonl", row)
    (record,) = files.read(path).records
    assert record.prompt + record.chosen == row["chosen"]
    assert record.prompt + record.rejected == row["rejected"]
    assert record.prompt == prompt


def test_message_transcripts_are_split_before_the_last_message(tmp_path):
    row = {side: TALK["prompt"] + TALK[side] for side in ("chosen", "rejected")}
    whole = files.read(lines(tmp_path / "a.jsonl", row)).records
    assert whole == files.read(lines(tmp_path / "b.jsonl", TALK)).records


def test_a_question_beside_two_dialogues_is_conversational(tmp_path):
    row = {side: [turn("user", "film")] + TALK[side] for side in ("chosen", "rejected")}
    row |= {"prompt": "film", "score_chosen": 8.0}
    read = files.read(lines(tmp_path / "uf.jsonl", row))
    assert read.form == "conversational"
    (record,) = read.records
    assert record.prompt == (Message("user", "film"),)
    assert record.chosen == (Message("assistant", "good fun"),)
    assert record.extra == {"score_chosen": 8.0}


def test_the_form_that_was_asked_for_wins_over_the_detected_one(tmp_path):
    row = GOOD | HH | {"prompt": START}
    path = lines(tmp_path / "both.jsonl", row)
    assert files.read(path).records[0].chosen == START + " yes"
    assert files.read(path, "transcripts").records[0].chosen == " yes"
    with pytest.raises(BadRecord, match="no completion, label"):
        files.read(path, "thumbs")


BAD = [
    ("malformed JSON", '{"prompt": "x",'),
    (
        "malformed JSON",
        '{"prompt": "p", "chosen": "a", "chosen": "x", "rejected": "b"}',
    ),
    ("malformed JSON", "[" * 100_000),
    ("not an object", '["prompt", "chosen", "rejected"]'),
    ("empty response", OTHER | {"chosen": " \n"}),
    ("chosen equals rejected", OTHER | {"chosen": "bad "}),
    ("missing field", {"prompt": "p", "chosen": "a"}),
    ("missing field", OTHER | {"rejected": None}),
    ("missing field", {"question": "p"}),
    ("wrong type", OTHER | {"chosen": 3}),
    ("wrong type", OTHER | {"chosen": [turn("assistant", "a")]}),
    ("duplicate", GOOD),
    ("duplicate", dict(reversed(GOOD.items()))),
    ("over-long text", OTHER | {"prompt": "p" * 1001}),
    (
        "wrong encoding",
        '{"prompt": "café", "chosen": "a", "rejected": "b"}'.encode("latin1"),
    ),
    ("wrong encoding", r'{"prompt": "\ud800", "chosen": "a", "rejected": "b"}'),
]


@pytest.mark.parametrize(("reason", "row"), BAD)
def test_a_bad_line_stops_with_its_file_line_and_reason(tmp_path, reason, row):
    path = lines(tmp_path / "pairs.jsonl", GOOD, "", row)
    with pytest.raises(BadRecord) as caught:
        files.read(path, max_characters=1000)
    error = caught.value
    assert (error.file, error.line, error.reason) == (path, 3, reason)
    assert str(error).startswith(f"{path}, line 3: {reason}")


def test_skipped_lines_are_counted_by_reason_and_the_user_is_told(tmp_path):
    path = lines(tmp_path / "pairs.jsonl", *(row for _, row in BAD), GOOD, OTHER)
    with pytest.warns(files.SkippedRecords, match="3 malformed JSON"):
        read = files.read(path, skip_bad=True, max_characters=1000)
    expected = {}
    for reason, _ in BAD:
        expected[reason] = expected.get(reason, 0) + 1
    # both copies of GOOD among the bad lines: the first is kept, the later ones are not
    assert read.skipped == expected
    assert [r.chosen for r in read.records] == ["good fun", "very good"]
    assert read.lines == (12, len(BAD) + 2)
    assert read.first["over-long text"] == 14
    assert "lines left out" in read.summary()


def test_a_clean_file_warns_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = files.read(lines(tmp_path / "a.jsonl", GOOD, OTHER), skip_bad=True)
    assert read.summary() == "a.jsonl: 2 standard records, none left out"


def test_equal_texts_with_other_extra_columns_are_two_judgements(tmp_path):
    rows = [GOOD | {"annotator": name} for name in ("ann", "bob")]
    assert len(files.read(lines(tmp_path / "a.jsonl", *rows))) == 2


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "  \n"])
@pytest.mark.parametrize(
    ("start", "column"),
    [
        ('{"prompt": "x",', 16),
        ('{"prompt": "x"', 15),
        ('{"prompt": "x', 12),
        ('{"prompt":', 11),
        ("{", 2),
        ('{"é": "日本",', 12),
        ('{"prompt": "x"} {', 17),
    ],
)
def test_a_broken_line_has_the_column_on_its_own_line(tmp_path, start, column, end):
    path = tmp_path / "a.jsonl"
    for before in ("", json.dumps(GOOD) + "\n"):
        path.write_bytes((before + start + end).encode())
        with pytest.raises(BadRecord, match="malformed JSON") as caught:
            files.read(path)
        position = int(re.search(r"column (\d+)", str(caught.value)).group(1))
        blanks = len(end) - len(end.lstrip(" "))
        assert position in (column, column + blanks)
        assert caught.value.line == 1 + bool(before)


@pytest.mark.parametrize("width", [16, 32])
@pytest.mark.parametrize("order", ["-le", "-be"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_another_encoding_is_called_by_its_name(tmp_path, width, order, mark):
    path = tmp_path / "a.jsonl"
    path.write_bytes((mark + json.dumps(GOOD)).encode(f"utf-{width}{order}"))
    with pytest.raises(BadInput, match=f"UTF-{width}") as caught:
        files.read(path)
    assert caught.value.reason == "wrong encoding"


@pytest.mark.parametrize("form", [None, "standard", "thumbs"])
@pytest.mark.parametrize("prompt", [{}, {"prompt": None}])
def test_a_prompt_that_is_missing_is_called_missing(tmp_path, form, prompt):
    row = {"asked": "q", "completion": "c", "label": True} | prompt
    if form != "thumbs":
        row = {"asked": "q", "chosen": "a", "rejected": "b"} | prompt
    with pytest.raises(BadRecord, match="no prompt|prompt is null") as caught:
        files.read(lines(tmp_path / "a.jsonl", row), form)
    assert caught.value.reason == "missing field"


def test_a_null_prompt_beside_two_dialogues_is_none(tmp_path):
    (record,) = files.read(lines(tmp_path / "a.jsonl", HH | {"prompt": None})).records
    assert (record.prompt, record.extra) == (START, {})


TRANSCRIPTS = [
    (
        "prompts differ",
        {"chosen": START + " yes", "rejected": "\n\nHuman: x" + START + " y"},
    ),
    ("no assistant turn", {"chosen": "yes", "rejected": "no"}),
    ("no assistant turn", HH | {"chosen": HH["chosen"] + "\n\nHuman: thanks"}),
    ("no prompt", {"chosen": "\n\nAssistant: yes", "rejected": "\n\nAssistant: no"}),
    ("no prompt", {side: TALK[side] for side in ("chosen", "rejected")}),
    ("empty response", HH | {"rejected": START + " "}),
    ("prompt not in the dialogues", HH | {"prompt": "something else"}),
    (
        "prompts differ",
        {
            "chosen": [turn("user", "a"), *TALK["chosen"]],
            "rejected": [turn("user", "b"), *TALK["rejected"]],
        },
    ),
    ("no assistant turn", {"chosen": TALK["prompt"], "rejected": TALK["prompt"]}),
]


@pytest.mark.parametrize(("reason", "row"), TRANSCRIPTS)
def test_a_bad_transcript_has_a_named_reason(tmp_path, reason, row):
    with pytest.raises(BadRecord) as caught:
        files.read(lines(tmp_path / "hh.jsonl", row), "transcripts")
    assert (caught.value.line, caught.value.reason) == (1, reason)


CONVERSATIONS = [
    ("wrong type", {"chosen": []}),
    ("wrong type", {"chosen": "good"}),
    ("wrong type", {"chosen": ["good"]}),
    ("wrong type", {"chosen": [turn("assistant", 3)]}),
    ("missing field", {"chosen": [{"role": "assistant"}]}),
    ("no assistant turn", {"chosen": [turn("user", "good")]}),
    (
        "prompt not in the dialogues",
        {k: [turn("user", "x"), turn("assistant", k)] for k in ("chosen", "rejected")},
    ),
]


@pytest.mark.parametrize(("reason", "change"), CONVERSATIONS)
def test_a_bad_conversation_has_a_named_reason(tmp_path, reason, change):
    with pytest.raises(BadRecord) as caught:
        files.read(lines(tmp_path / "talk.jsonl", TALK, TALK | change | {"id": 2}))
    assert (caught.value.line, caught.value.reason) == (2, reason)


@pytest.mark.parametrize(("label", "up"), [(1, True), (0, False), (0.0, False)])
def test_a_thumb_may_be_one_or_zero(tmp_path, label, up):
    row = {"prompt": "p", "completion": "c", "label": label}
    (record,) = files.read(lines(tmp_path / "thumbs.jsonl", row)).records
    assert record.label is up


@pytest.mark.parametrize("label", [2, "true", -1, [1]])
def test_a_thumb_is_nothing_else(tmp_path, label):
    row = {"prompt": "p", "completion": "c", "label": label}
    with pytest.raises(BadRecord, match="line 1: wrong type: label"):
        files.read(lines(tmp_path / "thumbs.jsonl", row))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", b"", "empty file"),
        ("a.jsonl", b"\n  \n", "empty file"),
        ("a.parquet", b"", "empty file"),
        ("a.parquet", b"no parquet at all", "unreadable file"),
        ("a.txt", b"prompt,chosen", "unknown extension"),
        ("a.pkl", b"\x80\x04.", "unknown extension"),
        ("a", b"{}", "unknown extension"),
        ("a.jsonl", json.dumps(GOOD).encode("utf-16"), "wrong encoding"),
        ("a.jsonl", None, "missing file"),
    ],
)
def test_a_file_that_is_none_has_a_named_reason(tmp_path, name, content, reason):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadFile) as caught:
        files.read(path, skip_bad=True)
    assert caught.value.reason == reason
    assert str(path) in str(caught.value)


def test_a_file_with_only_bad_lines_is_an_error_even_when_they_may_be_skipped(tmp_path):
    with pytest.raises(BadFile, match="no usable line.*1 malformed JSON"):
        files.read(lines(tmp_path / "a.jsonl", "{"), skip_bad=True)


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert files.read(path).records[0].prompt == "film"


def test_a_bad_parquet_row_is_named_by_its_number(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [GOOD, OTHER, GOOD | {"chosen": ""}]
    table = pa.table({name: [row[name] for row in rows] for name in GOOD})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(BadRecord, match="a.parquet, line 3: empty response"):
        files.read(tmp_path / "a.parquet")
    latin = pa.array([b"caf\xe9", b"b", b"c"]).view(pa.string())
    pq.write_table(table.set_column(0, "prompt", latin), tmp_path / "b.parquet")
    with pytest.raises(BadRecord, match="b.parquet, line 1: wrong encoding"):
        files.read(tmp_path / "b.parquet")


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path):
    path = files.write(tmp_path / "a.jsonl", [PreferenceRecord("p", "a", "b")])
    before = path.read_bytes()
    with pytest.raises(BadRecord, match="line 2: wrong type"):
        odd = PreferenceRecord("p", "a", "b", {"when": object()})
        files.write(path, [PreferenceRecord("q", "a", "b"), odd])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("record", "form"),
    [
        (PreferenceRecord("no assistant", "a", "b"), "transcripts"),
        (PreferenceRecord(START, "a\n\nHuman: c", "b"), "transcripts"),
        (PreferenceRecord("p", "a", "b"), "thumbs"),
        (ThumbRecord("p", "a", True), "standard"),
        (PreferenceRecord("p", "a", "b", {"chosen": "c"}), "standard"),
    ],
)
def test_a_record_that_cannot_be_said_in_a_form_is_refused(tmp_path, record, form):
    with pytest.raises(BadRecord):
        files.write(tmp_path / "a.jsonl", [record], form)
    assert not (tmp_path / "a.jsonl").exists()
