"""The rows of a preference file as they stand there: JSON lines, parquet and others.

A line that cannot be read is a ``Problem`` in its place; a parquet value that cannot be
read is ``Unreadable`` in its place, so that a column nobody uses spoils nothing.
"""

import gzip
import hashlib
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from workbench.core.errors import BadFile
from workbench.feedback.row_errors import Problem, Unreadable

Row = Mapping[str, Any]
JSONL, PARQUET = (".jsonl", ".ndjson"), (".parquet",)
TEXTS = (*JSONL, ".json", ".csv", ".tsv")
PACKED = ".gz"
KNOWN = (*TEXTS, *(name + PACKED for name in TEXTS), *PARQUET, ".arrow")
FIELDS = ("prompt", "chosen", "rejected", "completion", "label")

# UTF-32 first: its mark starts with that of UTF-16.
_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_BATCH = 1024


def extension(path: Path) -> str:
    """How the name of a file ends, ``.jsonl.gz`` as a whole."""
    ends = path.suffixes[-2:] if path.suffix == PACKED else path.suffixes[-1:]
    return "".join(ends).lower()


def check_extension(path: Path, known: Sequence[str] = KNOWN) -> None:
    """Refuse a file whose name does not tell what it is; a folder may be a data set.

    Raises:
        BadFile: the extension is unknown.
    """
    if extension(path) not in known and not path.is_dir():
        detail = f"{extension(path)!r} is none of {', '.join(known)}"
        raise BadFile(path, "unknown extension", detail)


def rows(path: Path) -> Iterator[tuple[int, Row | Problem]]:
    """Every row with its line (text) or number (tables), counted from 1.

    Raises:
        BadFile: missing, empty, unreadable or of an unknown kind.
    """
    check_extension(path)
    if not path.exists():
        raise BadFile(path, "missing file", "no such file")
    if path.is_file() and not path.stat().st_size:
        raise BadFile(path, "empty file", "it has no bytes")
    try:
        yield from _read(path)
    except EOFError:
        raise BadFile(path, "unreadable file", "it ends too early") from None
    except (OSError, zlib.error) as error:
        raise BadFile(path, "unreadable file", str(error)) from None


def _read(path: Path) -> Iterator[tuple[int, Row | Problem]]:
    from workbench.feedback import containers

    ends = extension(path)
    if path.is_dir():
        yield from containers.folder(path)
    elif ends in PARQUET:
        yield from parquet(path)
    elif ends == ".arrow":
        yield from containers.arrow(path)
    else:
        plain = ends.removesuffix(PACKED)
        with gzip.open(path) if ends != plain else path.open("rb") as file:
            yield from _text(path, file, plain)


def _text(
    path: Path, file: BufferedIOBase, ends: str
) -> Iterator[tuple[int, Row | Problem]]:
    from workbench.feedback import containers

    if ends in (".csv", ".tsv"):
        raw: Any = file  # typeshed asks for more than a wrapper uses
        # closed also where nobody asks for the rest of the rows
        with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            yield from containers.table(path, text, "," if ends == ".csv" else "\t")
    elif ends == ".json" and not _is_lines(file):
        yield from containers.json_list(path, file)
    else:
        yield from jsonl(path, file)


def _is_lines(file: BufferedIOBase) -> bool:
    """Whether the first line is a JSON object of its own."""
    begins = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    file.seek(0)
    if begins[:1] == b"[":  # one list, perhaps on one line as long as the file
        return False
    first = file.readline()
    file.seek(0)
    try:
        value = json.loads(first)
        # {"data": […]} is a list in a wrapping
        return isinstance(value, dict) and len(value) > 1
    except (ValueError, RecursionError):
        return False


def jsonl(path: Path, file: BufferedIOBase) -> Iterator[tuple[int, Row | Problem]]:
    """The rows of a file of JSON lines; blank lines are passed over."""
    for line, raw in enumerate(file, 1):
        if line == 1:
            for mark, name in _MARKS.items():
                if raw.startswith(mark):
                    detail = f"{name}; save it as UTF-8"
                    raise BadFile(path, "wrong encoding", detail)
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if raw.strip():
            try:
                # a line's end would start a second line, with columns of its own
                yield line, _object(raw.rstrip(b"\r\n"))
            except Problem as problem:
                yield line, problem


def _object(raw: bytes) -> Row:
    zeros = raw[:4].count(0)  # no JSON has any
    if zeros >= 2:
        name = "UTF-32" if zeros == 3 else "UTF-16"
        raise Problem("wrong encoding", f"{name}; save it as UTF-8")
    try:
        row = _decode(raw.decode("utf-8"))
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


def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which no key stands twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(k for k, n in Counter(k for k, _ in pairs).items() if n > 1)
        raise Problem("malformed JSON", f"the key {twice!r} stands twice")
    return row


_decode = json.JSONDecoder(object_pairs_hook=once).decode


def kind(value: object) -> str:
    """What a value is, in the words of JSON."""
    names = {dict: "an object", list: "a list", bool: "true/false", str: "a string"}
    names |= {int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def parquet(path: Path) -> Iterator[tuple[int, Row]]:
    """The rows of a parquet file.

    A null says that a row or a message has no such field, since parquet gives every
    row all columns. The fields of the forms stay, for the sake of messages.
    """
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        names, groups = file.schema_arrow.names, file.num_row_groups
        length = file.metadata.num_rows
    except Exception as error:  # damage raises whatever the damaged bytes lead to
        detail = f"no parquet file: {first_line(error)}"
        raise BadFile(path, "unreadable file", detail) from None
    with file:
        if len(set(names)) < len(names):
            raise BadFile(path, "unreadable file", f"a column stands twice: {names}")
        line = 0
        for group in range(groups if names else 0):
            for columns in _column_batches(file, path, group, names):
                for values in zip(*columns, strict=True):
                    line += 1
                    yield line, without_nulls(dict(zip(names, values, strict=True)))
    if line != length and names:
        detail = f"damaged: {line} of its {length} rows are there"
        raise BadFile(path, "unreadable file", detail)


def _column_batches(file, path: Path, group: int, names: list[str]):
    """Lists of values, one per column, some rows at a time."""
    done = 0
    try:
        for batch in file.iter_batches(_BATCH, row_groups=[group]):
            yield [_values(batch.column(i)) for i in range(batch.num_columns)]
            done += batch.num_rows
    except Exception:  # as above
        columns = _one_by_one(file, path, group, names)
        yield [column[done:] for column in columns]


def _one_by_one(file, path: Path, group: int, names: list[str]) -> list[list[Any]]:
    """Every column of a group by itself, because a page of one of them is damaged."""
    columns = [_column(file, group, name) for name in names]
    length = max((len(values) for values, _ in columns), default=0)
    if not length:
        raise BadFile(path, "unreadable file", f"damaged: {columns[0][1]}")
    for values, reason in columns:
        for row in range(len(values), length):
            mark = f"group {group}, row {row}"
            values.append(Unreadable("unreadable value", f"damaged: {reason}", mark))
    return [values for values, _ in columns]


def _column(file, group: int, name: str) -> tuple[list[Any], str]:
    """The values before the damage, and what the damage is."""
    values: list[Any] = []
    try:
        for part in file.iter_batches(_BATCH, row_groups=[group], columns=[name]):
            values += _values(part.column(name))
    except Exception as error:  # as above
        return values, first_line(error)
    return values, "it has fewer rows than the others"


def _values(column) -> list[Any]:
    try:
        return column.to_pylist()
    except Exception:  # pyarrow passes on what Python's own types raise
        return [_value(column.slice(i, 1)) for i in range(len(column))]


def _value(cell) -> Any:
    try:
        return cell.to_pylist()[0]
    except UnicodeDecodeError as error:
        return Unreadable("wrong encoding", f"not UTF-8: {error.reason}", _mark(cell))
    except Exception as error:
        detail = f"{cell.type}: {first_line(error)}"
        return Unreadable("unreadable value", detail, _mark(cell))


def _mark(cell) -> str:
    """The same for equal values, and for no others."""
    import pyarrow as pa

    alone = cell.take(pa.array([0]))  # a slice would be written with its neighbours
    raw = pa.record_batch([alone], names=["value"]).serialize().to_pybytes()
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def first_line(error: Exception) -> str:
    """What an exception says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def without_nulls(row: dict[str, Any]) -> Row:
    """A row of a table without its nulls: a table gives every row all columns."""
    row = {k: v for k, v in row.items() if v is not None or k in FIELDS}
    for name in FIELDS:
        if isinstance(row.get(name), list):
            row[name] = [_known(turn) for turn in row[name]]
    return row


def _known(turn: Any) -> Any:
    if not isinstance(turn, dict):
        return turn
    return {key: value for key, value in turn.items() if value is not None}
