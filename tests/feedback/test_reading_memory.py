"""What reading a preference file keeps, and what it leaves behind."""

import gc
import json
import tracemalloc
import warnings
from pathlib import Path

import pytest

from workbench.feedback import files
from workbench.feedback.reading import Reader
from workbench.feedback.rows import rows


def pairs(count: int, size: int) -> list[dict[str, str]]:
    """Rows of three texts of about so many characters."""
    return [
        {name: f"{name} {i} ".ljust(size, "x") for name in
         ("prompt", "chosen", "rejected")}
        for i in range(count)
    ]  # fmt: skip


def lines(path: Path, made: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


def test_of_a_row_that_was_seen_sixteen_bytes_are_kept(tmp_path):
    path = lines(tmp_path / "a.jsonl", [*pairs(5, 200), {
        "prompt": "é", "chosen": "a", "rejected": "b"}])  # fmt: skip
    reader = Reader(path)
    reader.take_all(rows(path))
    assert [len(key) for key in reader.seen] == [16] * 6


def test_texts_that_join_to_the_same_are_no_duplicates(tmp_path):
    """chosen·x·prompt·promptz and chosen·xprompt·prompt·z."""
    made = [
        {"chosen": "x", "prompt": "promptz", "rejected": "r"},
        {"chosen": "xprompt", "prompt": "z", "rejected": "r"},
    ]
    assert len(files.read(lines(tmp_path / "a.jsonl", made))) == 2


@pytest.mark.parametrize(("name", "most"), [("a.jsonl", 1.3), ("a.json", 2.3)])
def test_the_memory_of_a_file_is_its_records_and_at_most_its_text(tmp_path, name, most):
    """A list is decoded at once, and so its text is beside its records."""
    path, made = tmp_path / name, pairs(300, 3000)
    path.write_text(json.dumps(made)) if name == "a.json" else lines(path, made)
    files.read(path)  # imports
    gc.collect()
    tracemalloc.start()
    try:
        kept = files.read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == 300
    assert peak < most * path.stat().st_size


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_a_file_is_closed_when_nobody_asks_for_its_other_rows(tmp_path, name):
    path = tmp_path / name
    mark = "," if name == "a.csv" else "\t"
    words = mark.join(("prompt", "chosen", "rejected"))
    path.write_text(f"{words}\n{words}\n{words}\n")
    if name == "a.jsonl":
        lines(path, pairs(3, 20))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = rows(path)
        next(found)
        del found
        gc.collect()
    assert [w for w in said if issubclass(w.category, ResourceWarning)] == []
