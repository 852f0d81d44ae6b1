"""How fast preference files are read, and how much memory that takes.

    python benchmarks/reading.py [ROWS]

Every container holds the same rows; each is read in a process of its own. Times are of
the processor; memory is what the process holds more at most while it reads, and then.
"""

import csv
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

KILOBYTE = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss


def rows(count: int) -> list[dict[str, str]]:
    """Pairs of about 450 characters."""
    return [
        {
            "prompt": f"Question {i}: " + "what is the matter with " * 8,
            "chosen": f"Answer {i} " + "good words " * 12,
            "rejected": f"No {i} " + "bad words " * 10,
        }
        for i in range(count)
    ]


def make(folder: Path, count: int) -> list[Path]:
    """The same rows in every container."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = rows(count)
    text = "".join(json.dumps(row) + "\n" for row in made)
    names = ["a.jsonl", "a.jsonl.gz", "a.json", "a.csv", "a.parquet"]
    paths = [folder / name for name in names]
    paths[0].write_text(text)
    paths[1].write_bytes(gzip.compress(text.encode(), 1))
    paths[2].write_text(json.dumps(made))
    with paths[3].open("w", newline="") as file:
        writer = csv.DictWriter(file, list(made[0]))
        writer.writeheader()
        writer.writerows(made)
    pq.write_table(pa.Table.from_pylist(made), paths[4])
    return paths


def read(path: str) -> None:
    """Read one file and print its line of the table."""
    from workbench.feedback import files

    process = psutil.Process()
    before = process.memory_info().rss
    started = time.process_time()
    kept = files.read(path)
    seconds, count = time.process_time() - started, len(kept)
    held, size = process.memory_info().rss, Path(path).stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE
    told = [f"{(value - before) / 1e6:6.0f} MB" for value in (peak, held)]
    print(
        f"{Path(path).name:12} {size / 1e6:5.0f} MB  {count / seconds:8.0f} rows/s  "
        f"{told[0]} more at most, {told[1]} then"
    )


def main() -> None:
    """Every container in turn."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as place:
        for path in make(Path(place), count):
            words = [sys.executable, __file__, "--read", str(path)]
            subprocess.run(words, check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read(sys.argv[2])
    else:
        main()
