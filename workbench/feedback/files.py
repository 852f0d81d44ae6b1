"""Preference files in and out: JSONL and parquet, in the forms of ``feedback.forms``.

``read`` gives clean records or a named error with file and line; with ``skip_bad`` the
bad lines are left out and counted. Nothing is unpickled and nothing is downloaded.
"""

import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.core.errors import BadFile, BadRecord, WorkbenchWarning
from workbench.feedback.forms import FORMS, Problem, Row, detect, kind, parse, unparse
from workbench.feedback.records import Message, PreferenceRecord, Record, ThumbRecord

__all__ = [
    "Message",
    "PreferenceFile",
    "PreferenceRecord",
    "SkippedRecords",
    "ThumbRecord",
    "read",
    "write",
]

_JSONL, _PARQUET = (".jsonl", ".ndjson"), (".parquet",)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class SkippedRecords(WorkbenchWarning):
    """Some lines of a preference file were left out."""


@dataclass(frozen=True)
class PreferenceFile:
    """What a preference file holds.

    Attributes:
        path: where it was read from.
        form: standard, conversational, transcripts or thumbs.
        records: the clean records, in the order of the file.
        lines: line (JSONL) or row (parquet) of each record, counted from 1.
        skipped: number of lines left out, by reason.
        first: first line left out, by reason.
    """

    path: Path
    form: str
    records: tuple[Record, ...]
    lines: tuple[int, ...]
    skipped: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def summary(self) -> str:
        """One sentence: how many records, how many lines left out, and why."""
        kept = f"{self.path.name}: {len(self)} {self.form} records"
        return f"{kept}, {_told(self.skipped, self.first)}"


def read(
    path: str | Path,
    form: str | None = None,
    *,
    skip_bad: bool = False,
    max_characters: int = 100_000,
) -> PreferenceFile:
    """Read a preference file.

    Args:
        path: a ``.jsonl``, ``.ndjson`` or ``.parquet`` file.
        form: standard, conversational, transcripts or thumbs; None detects it from the
            fields of the first usable line. All lines have the same form.
        skip_bad: leave bad lines out, count them and warn, instead of stopping.
        max_characters: longest prompt or response that is accepted.

    Returns:
        the records, with their line numbers and the counts of what was left out. A line
        is a duplicate when all its fields, extra columns too, equal an earlier line.

    Raises:
        BadRecord: a bad line, without ``skip_bad``.
        BadFile: missing, empty, unreadable or of an unknown kind, or no line is usable.
        ValueError: there is no such form.
    """
    path = Path(path)
    if form is not None and form not in FORMS:
        raise ValueError(f"form is one of {', '.join(FORMS)}, not {form!r}")
    reader = _Reader(path, form, skip_bad, max_characters)
    for line, row in _rows(path):
        reader.take(line, row)
    return reader.done()


def write(path: str | Path, records: Iterable[Record], form: str | None = None) -> Path:
    """Write records to a ``.jsonl`` or ``.parquet`` file, whole or not at all.

    Args:
        path: the file; an existing one is replaced.
        records: at least one, all of one kind.
        form: as in ``read``; None is standard for strings, conversational for messages,
            thumbs for thumbs. A transcript is written from a prompt that ends where
            the assistant's turn starts, or from messages.

    Raises:
        BadRecord: a record cannot be said in this form or this file.
        BadFile: there are no records, or the extension is unknown.
    """
    path, held = Path(path), list(records)
    _check_extension(path)
    if not held:
        raise BadFile(path, "empty file", "there are no records to write")
    form = form or _usual_form(held[0])
    if form not in FORMS:
        raise ValueError(f"form is one of {', '.join(FORMS)}, not {form!r}")
    rows = []
    for line, record in enumerate(held, 1):
        try:
            rows.append(unparse(record, form))
        except Problem as problem:
            raise BadRecord(path, line, problem.reason, problem.detail) from None
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        (_write_parquet if path.suffix in _PARQUET else _write_jsonl)(
            path, partial, rows
        )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


class _Reader:
    """Parses rows one by one, and keeps count."""

    def __init__(self, path: Path, form: str | None, skip: bool, max_characters: int):
        self.path, self.form, self.skip, self.limit = path, form, skip, max_characters
        self.records: list[Record] = []
        self.lines: list[int] = []
        self.seen: dict[bytes, int] = {}
        self.skipped: Counter[str] = Counter()
        self.first: dict[str, int] = {}

    def take(self, line: int, row: "Row | Problem") -> None:
        try:
            if isinstance(row, Problem):
                raise row
            self._take(line, row)
        except Problem as problem:
            if not self.skip:
                raise BadRecord(
                    self.path, line, problem.reason, problem.detail
                ) from None
            self.skipped[problem.reason] += 1
            self.first.setdefault(problem.reason, line)

    def _take(self, line: int, row: Row) -> None:
        key = _fingerprint(row)
        form = self.form or detect(row)
        record = parse(row, form, self.limit)
        earlier = self.seen.setdefault(key, line)
        if earlier != line:
            raise Problem("duplicate", f"all fields equal line {earlier}")
        self.form = form
        self.records.append(record)
        self.lines.append(line)

    def done(self) -> PreferenceFile:
        if not self.records:
            if self.skipped:
                told = _told(self.skipped, self.first)
                raise BadFile(self.path, "no usable line", told)
            raise BadFile(self.path, "empty file", "it holds no records")
        held = tuple(self.records), tuple(self.lines)
        read = PreferenceFile(self.path, self.form, *held, self.skipped, self.first)
        if self.skipped:
            warnings.warn(read.summary(), SkippedRecords, stacklevel=3)
        return read


def _told(skipped: Counter[str], first: dict[str, int]) -> str:
    parts = [
        f"{n} {why} (first: line {first[why]})" for why, n in skipped.most_common()
    ]
    total = skipped.total()
    return f"{total} lines left out: {', '.join(parts)}" if total else "none left out"


def _fingerprint(row: Row) -> bytes:
    """The same for rows with equal fields, whatever their order."""
    try:
        text = json.dumps(row, sort_keys=True, ensure_ascii=False, default=repr)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()
    except UnicodeEncodeError as error:
        raise Problem("wrong encoding", f"half a surrogate pair: {error}") from None
    except RecursionError:
        raise Problem("malformed JSON", "nested too deeply") from None


def _usual_form(record: Record) -> str:
    if isinstance(record, ThumbRecord):
        return "thumbs"
    return "standard" if isinstance(record.prompt, str) else "conversational"


def _check_extension(path: Path) -> None:
    if path.suffix not in _JSONL + _PARQUET:
        known = ", ".join(_JSONL + _PARQUET)
        raise BadFile(path, "unknown extension", f"{path.suffix!r} is none of {known}")


def _rows(path: Path) -> Iterator[tuple[int, "Row | Problem"]]:
    _check_extension(path)
    if not path.is_file():
        what = "it is a folder" if path.is_dir() else "no such file"
        raise BadFile(path, "missing file", what)
    if not path.stat().st_size:
        raise BadFile(path, "empty file", "it has no bytes")
    try:
        yield from (_parquet if path.suffix in _PARQUET else _jsonl)(path)
    except OSError as error:
        raise BadFile(path, "unreadable file", str(error)) from None


def _jsonl(path: Path) -> Iterator[tuple[int, "Row | Problem"]]:
    with path.open("rb") as file:
        for line, raw in enumerate(file, 1):
            if line == 1:
                if raw.startswith(_UTF16):
                    raise BadFile(path, "wrong encoding", "UTF-16; save it as UTF-8")
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if raw.strip():
                try:
                    yield line, _object(raw)
                except Problem as problem:
                    yield line, problem


def _object(raw: bytes) -> Row:
    try:
        row = json.loads(raw.decode("utf-8"), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        at = f"byte {error.start} is {raw[error.start]:#04x}"
        raise Problem("wrong encoding", f"not UTF-8: {at}") from None
    except json.JSONDecodeError as error:
        hint = " (a JSON list over many lines?)" if raw.strip() in (b"[", b"{") else ""
        detail = f"{error.msg} at column {error.colno}{hint}"
        raise Problem("malformed JSON", detail) from None
    except (RecursionError, ValueError) as error:
        raise Problem("malformed JSON", str(error)) from None
    if not isinstance(row, dict):
        raise Problem("not an object", f"the line is {kind(row)}, not {{…}}")
    return row


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(k for k, n in Counter(k for k, _ in pairs).items() if n > 1)
        raise Problem("malformed JSON", f"the key {twice!r} stands twice")
    return row


def _parquet(path: Path) -> Iterator[tuple[int, "Row | Problem"]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            raise BadFile(path, "unreadable file", f"a column stands twice: {names}")
        line = 0
        for batch in file.iter_batches(batch_size=1024):
            for i in range(batch.num_rows):
                line += 1
                try:
                    yield line, batch.slice(i, 1).to_pylist()[0]
                except UnicodeDecodeError as error:
                    yield line, Problem("wrong encoding", f"not UTF-8: {error.reason}")
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise BadFile(path, "unreadable file", f"no parquet file: {reason}") from None


def _write_jsonl(path: Path, partial: Path, rows: list[dict[str, Any]]) -> None:
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        for line, row in enumerate(rows, 1):
            try:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            except (TypeError, UnicodeEncodeError) as error:
                raise BadRecord(path, line, "wrong type", str(error)) from None


def _write_parquet(path: Path, partial: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # pyarrow would keep the columns of the first row alone
    names = list(dict.fromkeys(name for row in rows for name in row))
    try:
        columns = {name: [row.get(name) for row in rows] for name in names}
        pq.write_table(pa.table(columns), partial)
    except (pa.ArrowException, UnicodeEncodeError) as error:
        raise BadFile(path, "wrong type", f"a column mixes types: {error}") from None
