"""Parquet files with values and bytes that Python or pyarrow cannot make sense of."""

import random
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.core.errors import BadFile, BadInput, BadRecord
from workbench.feedback import files
from workbench.feedback.row_errors import Unreadable

PAIRS = {"prompt": ["p", "q", "r"], "chosen": list("abc"), "rejected": list("xyz")}
FAR = 2**62  # beyond the year 9999, whatever it counts


def strings(*values: bytes) -> pa.Array:
    """An array of type string that need not be UTF-8."""
    return pa.array(values).view(pa.string())


STRANGE = {
    "a timestamp": pa.array([FAR, 1, 2], pa.timestamp("us")),
    "a timestamp before the year 1": pa.array([-FAR, 1, 2], pa.timestamp("ms")),
    "a timestamp of a zone": pa.array([FAR, 1, 2], pa.timestamp("us", "UTC")),
    "a zone that is none": pa.array([1, 2, 3], pa.timestamp("us", "Mars/Olympus")),
    "an offset that is none": pa.array([1, 2, 3], pa.timestamp("ns", "+99:99")),
    "a date": pa.array([2**30, 1, 2], pa.date32()),
    "a duration": pa.array([FAR, 1, 2], pa.duration("ms")),
    "a list": pa.array([[FAR], [1], []], pa.list_(pa.timestamp("us"))),
    "a struct": pa.StructArray.from_arrays(
        [pa.array([FAR, 1, 2], pa.timestamp("us"))], ["at"]
    ),
    "a map": pa.array(
        [[(1, FAR)], [(2, 1)], []], pa.map_(pa.int64(), pa.timestamp("us"))
    ),
    "a text": strings(b"caf\xe9", b"b", b"c"),
    "texts": pa.ListArray.from_arrays([0, 1, 2, 3], strings(b"\xff", b"b", b"c")),
}


def save(path: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("name", STRANGE)
def test_a_column_that_nobody_uses_spoils_no_record_of_a_file(tmp_path, name):
    path = save(tmp_path / "a.parquet", **PAIRS, when=STRANGE[name])
    read = files.read(path)
    assert [(r.prompt, r.chosen, r.rejected) for r in read.records] == [
        ("p", "a", "x"),
        ("q", "b", "y"),
        ("r", "c", "z"),
    ]
    assert isinstance(read.records[0].extra["when"], Unreadable)
    assert read.skipped.total() == 0


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("field", ["prompt", "chosen", "rejected"])
def test_a_used_value_that_cannot_be_read_is_named_with_its_row(tmp_path, name, field):
    path = save(tmp_path / "a.parquet", **PAIRS | {field: STRANGE[name]})
    with pytest.raises(BadRecord) as caught:
        files.read(path)
    reason = "wrong encoding" if "text" in name else "unreadable value"
    assert (caught.value.line, caught.value.reason) == (1, reason)
    assert caught.value.detail.startswith(f"{field}: ")


@pytest.mark.parametrize("form", ["transcripts", "conversational", "standard"])
def test_a_prompt_that_cannot_be_read_is_named_in_every_form(tmp_path, form):
    told = "\n\nHuman: hi\n\nAssistant:"
    dialogues = {"chosen": [told + "a"], "rejected": [told + "b"]}
    prompt = strings(b"caf\xe9")
    path = save(tmp_path / "a.parquet", prompt=prompt, **dialogues)
    with pytest.raises(BadRecord, match="line 1: wrong encoding: prompt"):
        files.read(path, form)


def test_only_the_rows_with_values_that_cannot_be_read_are_left_out(tmp_path):
    path = save(tmp_path / "a.parquet", **PAIRS | {"prompt": STRANGE["a text"]})
    with pytest.warns(files.SkippedRecords, match="1 wrong encoding"):
        read = files.read(path, skip_bad=True)
    assert read.lines == (2, 3)


def test_rows_that_differ_in_a_value_that_cannot_be_read_are_no_duplicates(tmp_path):
    same = {name: [values[0]] * 3 for name, values in PAIRS.items()}
    when = pa.array([FAR, FAR, FAR + 1], pa.timestamp("us"))
    with pytest.warns(files.SkippedRecords, match="1 duplicate"):
        read = files.read(
            save(tmp_path / "a.parquet", **same, when=when), skip_bad=True
        )
    assert read.lines == (1, 3)


@pytest.mark.parametrize("name", ["prompt", "chosen", "rejected"])
@pytest.mark.parametrize("nulls", [[None, "b", "c"], [None] * 3])
def test_a_null_field_is_called_null(tmp_path, name, nulls):
    column = pa.array(nulls, pa.string())
    path = save(tmp_path / "a.parquet", **PAIRS | {name: column})
    with pytest.raises(BadRecord, match=f"line 1: missing field: {name} is null"):
        files.read(path)


def test_a_null_extra_column_is_an_absent_one(tmp_path):
    path = save(tmp_path / "a.parquet", **PAIRS, id=[1, None, 3])
    assert [r.extra for r in files.read(path).records] == [{"id": 1}, {}, {"id": 3}]


def test_a_damaged_column_that_nobody_uses_spoils_no_record_of_a_file(tmp_path):
    note = [f"note {i} " * 40 for i in range(300)]
    numbers = [str(i) for i in range(300)]
    pairs = {
        "prompt": numbers,
        "chosen": numbers,
        "rejected": [n + "." for n in numbers],
    }
    path = tmp_path / "a.parquet"
    plain = {"use_dictionary": False, "compression": "none"}
    pq.write_table(pa.table(pairs | {"note": note}), path, row_group_size=100, **plain)
    chunk = pq.read_metadata(path).row_group(1).column(3)
    raw, start = bytearray(path.read_bytes()), chunk.data_page_offset
    raw[start : start + 16] = b"\xff" * 16  # the header of a page
    path.write_bytes(raw)
    with pytest.raises(OSError):
        pq.read_table(path, columns=["note"])
    read = files.read(path)
    assert [r.prompt for r in read.records] == numbers
    kept = [i for i, r in enumerate(read.records) if r.extra.get("note") == note[i]]
    assert kept == [*range(100), *range(200, 300)]


def mutants(count: int, seed: int):
    """Parquet files with one to three flipped bits."""
    stream = random.Random(seed)
    rows = range(60)
    plain = {
        "prompt": [f"prompt {i}" for i in rows],
        "chosen": [f"gut {i} é" for i in rows],
        "rejected": [f"bad {i}" for i in rows],
        "when": pa.array([10**9 * i for i in rows], pa.timestamp("us", "UTC")),
        "nest": [{"a": [i, None], "b": str(i)} for i in rows],
    }
    typed = {
        "prompt": [[{"role": "user", "content": f"p {i}"}] for i in rows],
        "chosen": [[{"role": "assistant", "content": f"g {i}"}] for i in rows],
        "rejected": [[{"role": "assistant", "content": f"b {i}"}] for i in rows],
    }
    options = (
        {},
        {"compression": "none", "use_dictionary": False},
        {"row_group_size": 25, "data_page_size": 200},
    )
    whole = []
    for columns in (plain, typed):
        for option in options:
            sink = pa.BufferOutputStream()
            pq.write_table(pa.table(columns), sink, **option)
            whole.append(sink.getvalue().to_pybytes())
    for _ in range(count):
        raw = bytearray(stream.choice(whole))
        for _ in range(stream.choice((1, 1, 3))):
            raw[stream.randrange(len(raw))] ^= 1 << stream.randrange(8)
        yield bytes(raw)


@pytest.mark.parametrize("seed", [5, 7, 15])
def test_flipped_bits_give_records_or_an_error_with_a_name(tmp_path, seed):
    path, refused = tmp_path / "a.parquet", 0
    for raw in mutants(100, seed):
        path.write_bytes(raw)
        for skip in (False, True):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", files.SkippedRecords)
                    read = files.read(path, skip_bad=skip)
                assert len(read) + read.skipped.total() == 60
            except BadInput as error:
                assert error.file == path
                refused += 1
    assert refused > 20  # the flips do reach what is read


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:-1],
        lambda raw: raw[:8] + bytes(len(raw) - 16) + raw[-8:],
        lambda raw: b"PAR1" + raw[-8:],
        lambda raw: raw[::-1],
    ],
)
def test_a_damaged_file_is_an_unreadable_one(tmp_path, damage):
    path = save(tmp_path / "a.parquet", **PAIRS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadFile) as caught:
        files.read(path)
    assert caught.value.reason == "unreadable file"


def test_a_bit_that_rots_in_a_file_we_wrote_is_noticed(tmp_path):
    """Pages carry checksums, so not even a letter may change unseen."""
    path = tmp_path / "a.parquet"
    records = [files.PreferenceRecord("p", "steadfast", "fickle")]
    raw = bytearray(files.write(path, records).read_bytes())
    raw[raw.index(b"steadfast") + 1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(BadInput):
        files.read(path)
