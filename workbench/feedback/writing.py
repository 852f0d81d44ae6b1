"""Records into a file that gives the same records back, or into none.

What was written is read again before it takes the place of the file, so nothing is
written that ``read`` would refuse or understand otherwise.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from workbench.core.errors import BadFile, BadRecord
from workbench.feedback.formats import FORMS, unparse
from workbench.feedback.reading import MAX_CHARACTERS, Reader
from workbench.feedback.records import (
    GroupRecord,
    Message,
    PreferenceRecord,
    Record,
    ThumbRecord,
)
from workbench.feedback.row_errors import Problem
from workbench.feedback.rows import JSONL, PARQUET, check_extension, jsonl, parquet


def write(
    path: str | Path,
    records: Iterable[Record],
    form: str | None = None,
    *,
    max_characters: int = MAX_CHARACTERS,
) -> Path:
    """Write records to a ``.jsonl`` or ``.parquet`` file, whole or not at all.

    ``read`` gives equal records back; those it would not are refused.

    Args:
        path: the file; an existing one is replaced.
        records: at least one, all of one kind.
        form: as in ``read``; None is standard for strings, conversational for messages,
            thumbs for thumbs. A transcript is written from a prompt that ends where
            the assistant's turn starts, or from messages.
        max_characters: as in ``read``.

    Raises:
        BadRecord: a record cannot be written in this form or file, or ``read`` would
            refuse or alter it.
        BadFile: there are no records, the extension is unknown, a parquet column mixes
            types, or the file cannot be written.
        ValueError: there is no such form.
    """
    path, originals = Path(path), list(records)
    check_extension(path, (*JSONL, *PARQUET))
    if not originals:
        raise BadFile(path, "empty file", "there are no records to write")
    if form is not None and form not in FORMS:
        raise ValueError(f"form is one of {', '.join(FORMS)}, not {form!r}")
    form, rows = form or _usual_form(originals[0]), []
    for line, record in enumerate(originals, 1):
        try:
            rows.append(unparse(record, form))
            _check_depth(rows[-1])
        except Problem as problem:
            raise BadRecord(path, line, problem.reason, problem.detail) from None
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    inside = path.suffix in PARQUET
    try:
        try:
            (_write_parquet if inside else _write_jsonl)(path, partial, rows)
            reader = Reader(path, max_characters=max_characters)
            with partial.open("rb") as file:
                reader.take_all(parquet(partial) if inside else jsonl(path, file))
            _compare(reader, originals, form)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise BadFile(path, "cannot be written", error.strerror or str(error)) from None
    return path


def _usual_form(record: object) -> str:
    if isinstance(record, ThumbRecord):
        return "thumbs"
    if isinstance(record, GroupRecord):
        return "scored"
    text = isinstance(record, PreferenceRecord) and isinstance(record.prompt, str)
    return "standard" if text else "conversational"


def _check_depth(value: Any, left: int = 100) -> None:
    """pyarrow follows a value into its own parts until the process dies."""
    if not left:
        raise Problem("wrong type", "a value is nested too deeply")
    parts = value.values() if isinstance(value, Mapping) else value
    if isinstance(parts, Collection) and not isinstance(parts, str | bytes):
        for part in parts:
            _check_depth(part, left - 1)


def _write_jsonl(path: Path, partial: Path, rows: list[dict[Any, Any]]) -> None:
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        for line, row in enumerate(rows, 1):
            try:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            except (TypeError, ValueError, RecursionError) as error:
                raise BadRecord(path, line, "wrong type", str(error)) from None


def _write_parquet(path: Path, partial: Path, rows: list[dict[Any, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # pyarrow would keep the columns of the first row alone
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        if not isinstance(name, str):
            raise BadFile(path, "wrong type", f"the column name {name!r} is no string")
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except Exception as error:  # whatever the values' own conversions raise
            detail = f"column {name!r} mixes types or holds what has none: {error}"
            raise BadFile(path, "wrong type", detail) from None
    try:
        pq.write_table(pa.table(columns), partial, write_page_checksum=True)
    except (pa.ArrowException, UnicodeEncodeError) as error:
        raise BadFile(path, "wrong type", f"no parquet column: {error}") from None


def _compare(reader: Reader, originals: list[Record], form: str) -> None:
    if reader.form != form:
        detail = f"it would be read as {reader.form}, because of its extra columns"
        raise BadRecord(reader.path, 1, "wrong form", detail)
    for line, (back, record) in enumerate(
        zip(reader.records, originals, strict=True), 1
    ):
        for name in (field.name for field in fields(record)):
            was, now = getattr(record, name), getattr(back, name)
            if not _same(was, now):
                detail = f"{name} would not be read back as it is: {_shown(was, now)}"
                raise BadRecord(reader.path, line, "would be altered", detail)


def _same(was: Any, now: Any) -> bool:
    """Equality, for values that may hold NaN or compare in their own way."""
    if isinstance(was, Message) and isinstance(now, Message):
        was, now = vars(was), vars(now)
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        return was.keys() == now.keys() and all(_same(was[k], now[k]) for k in was)
    if isinstance(was, list | tuple) and type(was) is type(now):
        return len(was) == len(now) and all(map(_same, was, now))
    try:
        return bool(was == now) or (was != was and now != now)
    except (TypeError, ValueError):
        return False


def _shown(was: Any, now: Any) -> str:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in [*was, *now]:
            if key not in now or key not in was or not _same(was[key], now[key]):
                return f"{key!r}: {was.get(key)!r} and {now.get(key, 'nothing')!r}"
    return f"{was!r} and {now!r}"
