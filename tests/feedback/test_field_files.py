"""Files as the field has them: other names, other containers, the same records."""

import csv
import gzip
import io
import json

import pytest

from workbench.core.errors import BadFile, BadInput, BadRecord
from workbench.feedback import files
from workbench.feedback.files import Message, PreferenceRecord, ThumbRecord

PAIR = PreferenceRecord("p", "good", "bad")
ASKED, GOOD, BAD = (
    (Message(role, text),)
    for role, text in (("user", "p"), ("assistant", "good"), ("assistant", "bad"))
)
TALK = PreferenceRecord(ASKED, GOOD, BAD)


def save(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(role: str, text: str, keys=("role", "content")) -> dict:
    return dict(zip(keys, (role, text), strict=True))


SHARE = ("from", "value")
NAMED = {
    "alpaca": ({"instruction": "p", "input": "", "chosen": "good", "rejected": "bad"},
               PAIR),
    "question": ({"question": "p", "chosen": "good", "rejected": "bad"}, PAIR),
    "stack exchange": ({"question": "p", "response_j": "good", "response_k": "bad"},
                       PAIR),
    "MedicalGPT": ({"system": "", "history": [], "question": "p",
                    "response_chosen": "good", "response_rejected": "bad"}, PAIR),
    "SafeRLHF": ({"prompt": "p", "response_0": "bad", "response_1": "good",
                  "better_response_id": 1}, PAIR),
    "an arena": ({"prompt": "p", "response_a": "good", "response_b": "bad",
                  "winner": "model_a"}, PAIR),
    "letters": ({"question": "p", "A": "bad", "B": "good", "label": "B"}, PAIR),
    "a chosen letter": ({"prompt": "p", "answer_1": "bad", "answer_2": "good",
                         "chosen": "2"}, PAIR),
    "SHP": ({"history": "p", "human_ref_A": "good", "human_ref_B": "bad",
             "labels": 1}, PAIR),
    "HelpSteer": ({"prompt": "p", "response1": "good", "response2": "bad",
                   "overall_preference": -2}, PAIR),
    "ShareGPT": ({"conversations": [said("human", "p", SHARE)],
                  "chosen": said("gpt", "good", SHARE),
                  "rejected": said("gpt", "bad", SHARE)}, TALK),
    "ColossalChat": ({"prompt": [said("human", "p", ("from", "content"))],
                      "chosen": [said("model", "good", ("from", "content"))],
                      "rejected": [said("model", "bad", ("from", "content"))]}, TALK),
    "messages by name": ({"prompt": "p", "chosen_messages": [said("assistant", "good")],
                          "rejected_messages": [said("assistant", "bad")]}, TALK),
    "messages and texts": ({"prompt": [said("user", "p")], "chosen": "good",
                            "rejected": "bad"}, TALK),
    "parts": ({"prompt": [{"role": "user", "content": [{"type": "text", "text": "p"}]}],
               "chosen": "good", "rejected": "bad"}, TALK),
    "KTO of dialogues": ({"messages": [said("user", "p"), said("assistant", "good")],
                          "label": True}, ThumbRecord(ASKED, GOOD, True)),
    "KTO of ShareGPT": ({"conversations": [said("human", "p", SHARE),
                                           said("gpt", "good", SHARE)],
                         "kto_tag": False}, ThumbRecord(ASKED, GOOD, False)),
    "KTO of alpaca": ({"instruction": "p", "input": "", "output": "good", "label": 0},
                      ThumbRecord("p", "good", False)),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_other_names_give_the_same_record(tmp_path, name):
    row, record = NAMED[name]
    (read,) = files.read(save(tmp_path / "a.jsonl", row)).records
    assert read == record


def test_the_input_stands_under_the_instruction(tmp_path):
    row = {"instruction": "Translate.", "input": "tea", "chosen": "a", "rejected": "b"}
    (read,) = files.read(save(tmp_path / "a.jsonl", row)).records
    assert read.prompt == "Translate.\ntea"


def test_system_and_history_come_before_the_question(tmp_path):
    row = {"system": "s", "history": [["q", "a"]], "prompt": "p", "chosen": "good",
           "rejected": "bad"}  # fmt: skip
    (read,) = files.read(save(tmp_path / "a.jsonl", row)).records
    turns = [("system", "s"), ("user", "q"), ("assistant", "a"), ("user", "p")]
    assert [(m.role, m.content) for m in read.prompt] == turns
    assert (read.chosen, read.rejected, read.extra) == (GOOD, BAD, {})


def test_a_system_column_beside_dialogues_is_not_lost(tmp_path):
    """It stays a column, so that the notes name it as unused."""
    talk = [said("user", "p")]
    row = {"system": "s", "chosen": [*talk, said("assistant", "good")],
           "rejected": [*talk, said("assistant", "bad")]}  # fmt: skip
    (read,) = files.read(save(tmp_path / "a.jsonl", row)).records
    assert (read.prompt, read.extra) == (ASKED, {"system": "s"})


def test_columns_of_the_users_own_are_named(tmp_path):
    path = save(tmp_path / "a.jsonl", {"q": "p", "win": "good", "lose": "bad"})
    names = {"prompt": "q", "chosen": "win", "rejected": "lose"}
    assert files.read(path, columns=names).records == (PAIR,)
    with pytest.raises(BadRecord, match="line 1: missing field: no won; found"):
        files.read(path, columns=names | {"chosen": "won"})


def test_a_response_of_several_turns_is_kept_whole(tmp_path):
    turns = [said("assistant", "a"), said("user", "more?")]
    sides = {"chosen": [*turns, said("assistant", "good")],
             "rejected": [*turns, said("assistant", "bad")]}  # fmt: skip
    path = save(tmp_path / "a.jsonl", {"prompt": [said("user", "p")]} | sides)
    (read,) = files.read(path).records
    assert [m.content for m in read.prompt] == ["p"]
    assert [m.content for m in read.chosen] == ["a", "more?", "good"]


def test_dialogues_part_at_the_first_answer_that_differs(tmp_path):
    start, more = [said("user", "p")], said("user", "more?")
    sides = {
        "chosen": [*start, said("assistant", "a"), more, said("assistant", "good")],
        "rejected": [*start, said("assistant", "b"), more, said("assistant", "bad")],
    }
    (read,) = files.read(save(tmp_path / "a.jsonl", sides)).records
    assert [m.content for m in read.prompt] == ["p"]
    assert [m.content for m in read.rejected] == ["b", "more?", "bad"]


def test_transcripts_part_at_the_first_answer_that_differs(tmp_path):
    start = "\n\nHuman: p\n\nAssistant:"
    row = {"chosen": start + " yes\n\nHuman: m\n\nAssistant: c",
           "rejected": start + " yo\n\nHuman: m\n\nAssistant: d"}  # fmt: skip
    (read,) = files.read(save(tmp_path / "a.jsonl", row)).records
    assert read.prompt == start  # not "… ye" or "… y", the longest common text
    assert read.chosen == " yes\n\nHuman: m\n\nAssistant: c"


REFUSED = {
    "tie": {"response_a": "x", "response_b": "y", "winner": "tie"},
    "unclear verdict": {"response_a": "x", "response_b": "y", "label": 1},
    "two system messages": {
        "system": "s", "prompt": [said("system", "t"), said("user", "p")],
        "chosen": "x", "rejected": "y",
    },
    "not text": {
        "prompt": [{"role": "user", "content": [{"type": "image_url"}]}],
        "chosen": "x", "rejected": "y",
    },
    "wrong type": {"history": "h", "chosen": "x", "rejected": "y", "question": "q"},
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path, reason):
    row = {"prompt": "p"} | REFUSED[reason]
    with pytest.raises(BadRecord, match=f"line 1: {reason}"):
        files.read(save(tmp_path / "a.jsonl", row))


def test_a_label_beside_a_pair_is_a_column(tmp_path):
    prompt = [said("system", "s"), said("user", "p")]
    row = {"prompt": prompt, "chosen": "good", "rejected": "bad", "label": 1}
    (read,) = files.read(save(tmp_path / "a.jsonl", row)).records
    assert [m.role for m in read.prompt] == ["system", "user"]
    assert (read.chosen, read.extra) == (GOOD, {"label": 1})


@pytest.mark.parametrize("keys", [("role", "content"), SHARE])
def test_a_whole_dialogue_beside_its_ends_is_no_prompt(tmp_path, keys):
    """Known mistake: its answer, taken for a turn that was begun."""
    talk = [said("user", "p", keys), said("assistant", "good", keys)]
    row = {"messages": talk, "chosen": talk,
           "rejected": [talk[0], said("assistant", "bad", keys)]}  # fmt: skip
    (read,) = files.read(save(tmp_path / "a.jsonl", row)).records
    assert (read.prompt, read.chosen, read.rejected) == (ASKED, GOOD, BAD)


def test_keys_that_a_table_fills_with_null_are_none(tmp_path):
    """Parquet gives every message of a column all keys."""
    both = {"role": None, "content": None}
    talk = both | said("user", "p", SHARE)
    row = {"prompt": [talk], "chosen": [both | said("gpt", "good", SHARE)],
           "rejected": [both | said("gpt", "bad", SHARE)]}  # fmt: skip
    (read,) = files.read(save(tmp_path / "a.jsonl", row)).records
    assert [m.content for m in (*read.prompt, *read.chosen)] == ["p", "good"]


def test_a_call_needs_no_words(tmp_path):
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {}}]}
    row = {"prompt": [said("user", "p")], "chosen": [call],
           "rejected": [said("assistant", "bad")]}  # fmt: skip
    (read,) = files.read(save(tmp_path / "a.jsonl", row)).records
    assert read.chosen[0].extra["tool_calls"] == [{"function": {}}]


def test_a_column_that_read_would_take_is_not_written_as_an_extra(tmp_path):
    record = PreferenceRecord("p", "good", "bad", {"system": "s"})
    with pytest.raises(BadInput):
        files.write(tmp_path / "a.jsonl", [record])


# ---- containers -------------------------------------------------------------------

ROWS = [
    {"prompt": "p", "chosen": "good", "rejected": "bad", "score_chosen": 2.0},
    {"prompt": "ä\nq", "chosen": '"x", y', "rejected": "z", "score_chosen": 0.5},
]  # fmt: skip


def as_table(separator: str) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(ROWS[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue()


LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
CONTAINERS = {
    "a.json": json.dumps(ROWS),
    "b.json": json.dumps(ROWS, indent=2),
    "c.json": LINES,
    "d.json": json.dumps({"data": ROWS}),
    "e.json": json.dumps({"version": "1", "data": ROWS}, indent=1),
    "a.jsonl.gz": LINES,
    "a.json.gz": json.dumps(ROWS),
    "a.csv": as_table(","),
    "a.csv.gz": as_table(","),
    "a.tsv": as_table("\t"),
    "A.JSONL": LINES,
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_holds_the_same_rows(tmp_path, name):
    path, raw = tmp_path / name, CONTAINERS[name].encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    expected = files.read(save(tmp_path / "same.jsonl", *ROWS)).records
    assert files.read(path).records == expected


def arrow(path, rows, how):
    import pyarrow as pa

    made = pa.Table.from_pylist(rows)
    with how(str(path), made.schema) as sink:
        sink.write_table(made)
    return path


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_arrow_is_read_as_datasets_writes_it(tmp_path, kind):
    import pyarrow as pa

    how = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    path = arrow(tmp_path / "a.arrow", ROWS, how)
    expected = files.read(save(tmp_path / "same.jsonl", *ROWS)).records
    assert files.read(path).records == expected


@pytest.mark.parametrize("splits", [False, True])
@pytest.mark.parametrize("order", [None, [1, 0]])
def test_a_folder_of_datasets_is_read_in_its_order(tmp_path, splits, order):
    import pyarrow as pa

    place = tmp_path / "set" / "train" if splits else tmp_path / "set"
    place.mkdir(parents=True)
    if splits:
        told = json.dumps({"splits": ["test", "train"]})
        (tmp_path / "set" / "dataset_dict.json").write_text(told)
    arrow(place / "data-0.arrow", ROWS[:1], pa.ipc.new_stream)
    arrow(place / "data-1.arrow", ROWS[1:], pa.ipc.new_stream)
    state = {"_data_files": [{"filename": f"data-{i}.arrow"} for i in (0, 1)]}
    if order:
        arrow(place / "order.arrow", [{"indices": i} for i in order], pa.ipc.new_stream)
        state["_indices_files"] = [{"filename": "order.arrow"}]
    (place / "state.json").write_text(json.dumps(state))
    prompts = [record.prompt for record in files.read(tmp_path / "set").records]
    assert prompts == (["ä\nq", "p"] if order else ["p", "ä\nq"])


def test_datasets_own_folder_is_read(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the oracle set is not installed")
    datasets.Dataset.from_list(ROWS).shuffle(seed=1).save_to_disk(tmp_path / "set")
    read = files.read(tmp_path / "set").records
    assert {record.prompt for record in read} == {"p", "ä\nq"}


BROKEN = {
    "a.json": ('[{"prompt": "p", "chosen": "a", "rejected": "b"}, {"prompt"',
               "line 1: malformed JSON"),
    "b.json": ('[\n{"prompt": "p", "chosen": "a", "rejected": "b"},\n7\n]',
               "line 3: not an object"),
    "c.json": ('"text"', "no list of objects"),
    "d.json": ('{"a": [1],\n "b": [2]}', "one list of objects is wanted"),
    "a.csv": ("prompt,chosen,rejected\np,a\n", "line 2: wrong number of cells"),
    "b.csv": ('prompt,chosen,rejected\np,"a"x,b\n', "malformed CSV"),
    "a.arrow": ("nonsense", "no Arrow file"),
    "a.jsonl.gz": ("no gzip", "unreadable file"),
    "a.xlsx": ("x", "unknown extension"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_container_is_named(tmp_path, name):
    text, message = BROKEN[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=message):
        files.read(tmp_path / name)


def test_a_cut_gzip_is_named(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(LINES.encode())[:-20])
    with pytest.raises(BadFile, match="unreadable file"):
        files.read(path)


def test_a_folder_names_only_files_of_its_own(tmp_path):
    (tmp_path / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": "../else.arrow"}]})
    )
    with pytest.raises(BadFile, match="files elsewhere"):
        files.read(tmp_path)
    (tmp_path / "state.json").unlink()
    with pytest.raises(BadFile, match="no state.json"):
        files.read(tmp_path)
