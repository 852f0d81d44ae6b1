"""What the runner says: progress, failures as text, JUnit XML, seconds per cell."""

import csv
import io
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from xml.etree import ElementTree

if TYPE_CHECKING:
    from workbench.runner.job import Result

HEARTBEAT_S = 20.0


def clock(seconds: float) -> str:
    """Seconds as m:ss."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


class Progress:
    """One line a notebook; running ones are redrawn on a terminal.

    Without a terminal (CI, a file) each notebook prints a line when it starts, one
    every 20 s while it runs, and one when it ends.

    Args:
        total: notebooks to go through.
        stream: where to write.
    """

    def __init__(self, total: int, stream: TextIO | None = None):
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._total, self._done, self._drawn = total, 0, 0
        self._beat: dict[str, float] = {}

    def running(self, rows: list[tuple[str, int, int, float, float]], left: float):
        """Show the running notebooks.

        Args:
            rows: (name, cell, cells, seconds so far, seconds left) of each.
            left: seconds left for the whole series.
        """
        lines = [
            f"  {name:<28} cell {cell:>2}/{cells:<2}  {clock(spent)} spent, "
            f"about {clock(rest)} left"
            for name, cell, cells, spent, rest in rows
        ]
        if self._live:
            self._erase()
            lines.append(
                f"  {self._done}/{self._total} notebooks, about {clock(left)} left"
            )
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._drawn = len(lines)
        else:
            now = time.monotonic()
            for row, line in zip(rows, lines, strict=True):
                if now - self._beat.get(row[0], -HEARTBEAT_S) >= HEARTBEAT_S:
                    self._beat[row[0]] = now
                    self._stream.write(line + "\n")
        self._stream.flush()

    def ended(self, result: "Result") -> None:
        """Print the line that stays for a notebook."""
        self._erase()
        self._done += 1
        mark = "ok  " if result.passed else "FAIL"
        how = "unchanged" if result.cached else f"{clock(result.seconds)}"
        why = "" if result.passed else f"  {result.failures[0]}"
        self._stream.write(
            f"{mark} {result.name:<28} {how:<9} "
            f"({self._done}/{self._total}, {result.profile}){why}\n"
        )
        self._stream.flush()

    def _erase(self) -> None:
        if self._live and self._drawn:
            self._stream.write(f"\x1b[{self._drawn}A\x1b[J")
        self._drawn = 0


def failure_text(result: "Result") -> str:
    """A failed notebook in words: every failure, the cell's source, the traceback."""
    parts = [f"\n==== {result.name} ({result.profile}) failed ===="]
    for failure in result.failures:
        parts.append(f"-- {failure}")
        if failure.detail:
            parts.append(failure.detail.rstrip())
    parts.append(f"executed copy: {result.executed}\n")
    return "\n".join(parts)


def write_junit(results: Iterable["Result"], path: Path) -> None:
    """JUnit XML, one test case a notebook."""
    results = list(results)
    suite = ElementTree.Element(
        "testsuite",
        name="notebooks",
        tests=str(len(results)),
        failures=str(sum(not result.passed for result in results)),
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"notebooks.{result.profile}",
            name=result.name,
            time=f"{result.seconds:.3f}",
        )
        for failure in result.failures:
            node = ElementTree.SubElement(case, "failure", message=_xml(str(failure)))
            node.text = _xml(failure.detail)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    buffer = io.BytesIO()
    ElementTree.ElementTree(root).write(buffer, encoding="utf-8", xml_declaration=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def write_seconds(results: Iterable["Result"], path: Path) -> None:
    """CSV with one row a cell: notebook, cell, seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["notebook", "cell", "seconds"])
        for result in results:
            for cell, seconds in enumerate(result.cell_seconds, start=1):
                writer.writerow([result.name, cell, f"{seconds:.3f}"])


def _xml(text: str) -> str:
    """Text without the control characters that XML forbids."""
    return "".join(c for c in text if c in "\t\n\r" or ord(c) >= 32)
