"""Files that hold rows beside JSON lines and parquet: JSON lists, CSV, Arrow, folders.

Every reader yields rows with their line or number, from 1; a row that cannot be read is
a ``Problem`` in its place. Nothing is unpickled, and a folder's files are its own.
"""

import csv
import json
import re
from collections.abc import Iterator
from io import BufferedIOBase, TextIOBase
from pathlib import Path
from typing import Any

from workbench.core.errors import BadFile
from workbench.feedback.row_errors import Problem
from workbench.feedback.rows import Row, first_line, kind, once, without_nulls

_BATCH = 1024
_LONGEST = 2**27  # characters of a cell
# columns of a CSV file that are numbers or true and false; all others are text
_NUMBERS = re.compile(
    r"label|labels|kto_tag|rank|margin|.*(score|rating|reward)s?(_.*)?", re.I
)
_BLANK = re.compile(r"\s*")
_WORDS = {"true": True, "false": False}
_PLAIN = re.compile(r"[^/\\:\0]+\.arrow")


def json_list(path: Path, file: BufferedIOBase) -> Iterator[tuple[int, Row | Problem]]:
    """The objects of one JSON list, with the lines where they start.

    An object with one list in it stands for that list; one object per line is read as
    JSON lines are.
    """
    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        detail = f"not UTF-8: byte {error.start}"
        raise BadFile(path, "wrong encoding", detail) from None
    at = _skip(text, 0)
    if text[at : at + 1] == "{":
        at = _inside(path, text, at)
    if text[at : at + 1] != "[":
        found = text[at : at + 20]
        raise BadFile(path, "malformed JSON", f"no list of objects: {found!r}")
    yield from _elements(text, at + 1)


def _inside(path: Path, text: str, at: int) -> int:
    """Where the one list of an object starts, such as that of {"data": […]}."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadFile(path, "malformed JSON", first_line(error)) from None
    lists = [name for name, value in whole.items() if isinstance(value, list)]
    if len(lists) != 1:
        there = ", ".join(map(str, whole))
        detail = f"an object with {there}; one list of objects is wanted"
        raise BadFile(path, "malformed JSON", detail)
    name = json.dumps(lists[0], ensure_ascii=False)
    return _skip(text, text.index(":", text.index(name, at)) + 1)


def _elements(text: str, at: int) -> Iterator[tuple[int, Row | Problem]]:
    decoder = json.JSONDecoder(object_pairs_hook=once)
    line, counted = 1, 0
    at = _skip(text, at)
    while text[at : at + 1] not in ("]", ""):
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except Problem as problem:
            yield line, problem
            return
        except json.JSONDecodeError as error:
            what = f"{error.msg} in line {error.lineno}, column {error.colno}"
            yield line, Problem("malformed JSON", what)
            return
        except (RecursionError, ValueError) as error:
            yield line, Problem("malformed JSON", first_line(error))
            return
        if isinstance(value, dict):
            yield line, value
        else:
            yield line, Problem("not an object", f"it is {kind(value)}, not {{…}}")
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            yield line, Problem("malformed JSON", "the list is not closed")
            return
    if text[at : at + 1] != "]":
        yield line, Problem("malformed JSON", "the list is not closed")


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def table(
    path: Path, file: TextIOBase, separator: str
) -> Iterator[tuple[int, Row | Problem]]:
    """The rows of a CSV file, whose first line names the columns.

    A cell is text, but in columns of labels and scores, where it is a number or true or
    false; a cell that is a JSON list of objects holds messages; an empty one is null.
    """
    csv.field_size_limit(_LONGEST)
    reader = csv.reader(file, delimiter=separator, strict=True)
    try:
        names = next(reader, [])
        if len(set(names)) < len(names) or not any(names):
            raise BadFile(path, "unreadable file", f"its first line names {names}")
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                yield line, _cells(names, cells)
            line = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise BadFile(path, "wrong encoding", f"not UTF-8: {error.reason}") from None
    except csv.Error as error:
        detail = f"line {reader.line_num}: {error}"
        raise BadFile(path, "malformed CSV", detail) from None


def _cells(names: list[str], cells: list[str]) -> Row | Problem:
    if len(cells) != len(names):
        detail = f"{len(cells)} cells, the first line has {len(names)}"
        return Problem("wrong number of cells", detail)
    row = {name: _cell(name, cell) for name, cell in zip(names, cells, strict=True)}
    return {name: value for name, value in row.items() if value is not None}


def _cell(name: str, text: str) -> Any:
    if not text:
        return None
    if _NUMBERS.fullmatch(name):
        return _number(text)
    if re.match(r"\s*\[\s*[\[{]", text):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _number(text: str) -> Any:
    """A number, true or false; other text as it is."""
    word = text.strip().lower()
    if word in _WORDS:
        return _WORDS[word]
    try:
        number = float(word)
        return int(number) if number == int(number) else number
    except (ValueError, OverflowError):
        return text


def arrow(path: Path) -> Iterator[tuple[int, Row]]:
    """The rows of an Arrow file, as `datasets` writes them (a stream) or as a file."""
    yield from _rows_of(_table(path))


def folder(path: Path) -> Iterator[tuple[int, Row]]:
    """The rows of a folder of `datasets.save_to_disk`; of several splits, of train.

    Raises:
        BadFile: it is none, or names files that are not its own.
    """
    import pyarrow as pa

    splits = path / "dataset_dict.json"
    if splits.is_file():
        names = _json(splits, path).get("splits")
        names = names if isinstance(names, list) else []
        if "train" not in names and len(names) != 1:
            detail = f"splits {', '.join(map(str, names))}; name the folder of one"
            raise BadFile(path, "several splits", detail)
        path = path / ("train" if "train" in names else str(names[0]))
    state = path / "state.json"
    if not state.is_file():
        detail = "it has no state.json of datasets.save_to_disk"
        raise BadFile(path, "no data set", detail)
    told = _json(state, path)
    tables = [_table(part) for part in _files(path, told, "_data_files")]
    try:
        whole = pa.concat_tables(tables)
    except pa.ArrowInvalid as error:
        detail = f"its parts differ: {first_line(error)}"
        raise BadFile(path, "unreadable file", detail) from None
    if told.get("_indices_files"):
        parts = [_table(part) for part in _files(path, told, "_indices_files")]
        whole = whole.take(pa.concat_tables(parts).column(0))
    yield from _rows_of(whole)


def _json(file: Path, path: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadFile(path, "unreadable file", f"{file.name}: {error}") from None
    if not isinstance(told, dict):
        raise BadFile(path, "unreadable file", f"{file.name} is no object")
    return told


def _files(path: Path, told: dict[str, Any], key: str) -> list[Path]:
    """Files that a data set names: Arrow files of its own folder."""
    parts = told.get(key)
    names = [p.get("filename") for p in parts] if isinstance(parts, list) else []
    for name in names:
        if not isinstance(name, str) or not _PLAIN.fullmatch(name):
            detail = f"state.json names {name!r}, no *.arrow file of the folder"
            raise BadFile(path, "files elsewhere", detail)
    if not names:
        raise BadFile(path, "unreadable file", "state.json names no files")
    return [path / name for name in names]


def _table(path: Path) -> Any:
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            try:
                return pa.ipc.open_stream(source).read_all()
            except pa.ArrowInvalid:
                source.seek(0)
                return pa.ipc.open_file(source).read_all()
    except Exception as error:  # damage raises whatever the damaged bytes lead to
        detail = f"no Arrow file: {first_line(error)}"
        raise BadFile(path, "unreadable file", detail) from None


def _rows_of(whole: Any) -> Iterator[tuple[int, Row]]:
    line = 0
    for batch in whole.to_batches(_BATCH):
        for row in batch.to_pylist():
            line += 1
            yield line, without_nulls(row)
