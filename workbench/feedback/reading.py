"""From rows to clean records, or a named error with file and line."""

import gc
import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from workbench.core.errors import BadFile, BadRecord, WorkbenchWarning
from workbench.feedback.aliases import canonical
from workbench.feedback.formats import FORMS, detect, parse
from workbench.feedback.group_forms import SAID
from workbench.feedback.records import Record
from workbench.feedback.row_errors import Problem
from workbench.feedback.rows import Row, rows

MAX_CHARACTERS = 100_000


class SkippedRecords(WorkbenchWarning):
    """Some lines of a preference file were left out."""


@dataclass(frozen=True)
class PreferenceFile:
    """What a preference file holds.

    Attributes:
        path: where it was read from.
        form: a key of ``formats.FORMS``.
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
        meant = f"; {SAID[self.form]}" if self.form in SAID else ""
        return f"{kept}, {_told(self.skipped, self.first)}{meant}"


def read(
    path: str | Path,
    form: str | None = None,
    *,
    skip_bad: bool = False,
    max_characters: int = MAX_CHARACTERS,
    columns: Mapping[str, str] | None = None,
) -> PreferenceFile:
    """Read a preference file.

    Args:
        path: a file of ``rows.KNOWN``, or a folder of ``datasets.save_to_disk``.
        form: a key of ``formats.FORMS``; None detects it from the fields of the first
            usable line. All lines have the same form.
        skip_bad: leave bad lines out, count them and warn, instead of stopping.
        max_characters: longest prompt or response that is accepted.
        columns: our name of a column → the file's, where ``aliases`` does not know it.

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
    reader = Reader(path, form, skip_bad, max_characters, columns)
    with _uncollected():
        reader.take_all(rows(path))
    return reader.done()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looks for cycles, of which records have none: they double the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


class Reader:
    """Parses rows one by one, and keeps count.

    Args:
        path: the file that errors name.
        form: as in ``read``.
        skip_bad: as in ``read``.
        max_characters: as in ``read``.
        columns: as in ``read``.
    """

    def __init__(
        self,
        path: Path,
        form: str | None = None,
        skip_bad: bool = False,
        max_characters: int = MAX_CHARACTERS,
        columns: Mapping[str, str] | None = None,
    ):
        self.path, self.form = path, form
        self.skip, self.limit, self.columns = skip_bad, max_characters, columns
        self.records: list[Record] = []
        self.lines: list[int] = []
        self.seen: dict[Hashable, int] = {}
        self.skipped: Counter[str] = Counter()
        self.first: dict[str, int] = {}

    def take_all(self, found: Iterable[tuple[int, Row | Problem]]) -> None:
        """Parse rows with their line numbers.

        Raises:
            BadRecord: a bad row, if none may be skipped.
        """
        for line, row in found:
            try:
                if isinstance(row, Problem):
                    raise row
                self._take(line, row)
            except Problem as problem:
                if not self.skip:
                    why = problem.reason, problem.detail
                    raise BadRecord(self.path, line, *why) from None
                self.skipped[problem.reason] += 1
                self.first.setdefault(problem.reason, line)

    def _take(self, line: int, row: Row) -> None:
        key = _fingerprint(row)
        row = canonical(row, self.columns)
        form = self.form or detect(row)
        record = parse(row, form, self.limit)
        earlier = self.seen.setdefault(key, line)
        if earlier != line:
            raise Problem("duplicate", f"all fields equal line {earlier}")
        self.form = form
        self.records.append(record)
        self.lines.append(line)

    def done(self) -> PreferenceFile:
        """What was read; says in a warning if something was left out.

        Raises:
            BadFile: there are no records.
        """
        if not self.records or self.form is None:  # the first record says the form
            if self.skipped:
                detail = _told(self.skipped, self.first)
                raise BadFile(self.path, "no usable line", detail)
            raise BadFile(self.path, "empty file", "it holds no records")
        contents = tuple(self.records), tuple(self.lines)
        read = PreferenceFile(self.path, self.form, *contents, self.skipped, self.first)
        if self.skipped:
            warnings.warn(read.summary(), SkippedRecords, stacklevel=3)
        return read


def _told(skipped: Counter[str], first: dict[str, int]) -> str:
    parts = [
        f"{n} {why} (first: line {first[why]})" for why, n in skipped.most_common()
    ]
    total = skipped.total()
    return f"{total} lines left out: {', '.join(parts)}" if total else "none left out"


def _fingerprint(row: Row) -> Hashable:
    """The same for rows with equal fields, whatever their order."""
    try:
        if all(map(str.isascii, row.values())):
            # lengths tell where a text ends, whatever it holds; a digest, since what
            # is kept of every row must be small
            parts = sorted(row.items())
            sizes = [len(part) for pair in parts for part in pair]
            flat = [part for pair in parts for part in pair]
            whole = f"{sizes}{''.join(flat)}".encode()
            return hashlib.blake2b(whole, digest_size=16).digest()
    except TypeError:  # not all of them are texts
        pass
    try:
        text = json.dumps(row, sort_keys=True, ensure_ascii=False, default=repr)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()
    except UnicodeEncodeError as error:
        raise Problem("wrong encoding", f"half a surrogate pair: {error}") from None
    except RecursionError:
        raise Problem("malformed JSON", "nested too deeply") from None
