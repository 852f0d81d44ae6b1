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
    """One bar per running notebook on a terminal; lines of text everywhere else.

    Without a terminal (CI, a file) each notebook prints a line when it starts, one
    every 20 s while it runs, and one when it ends.

    Args:
        total: notebooks to go through.
        stream: where to write.
    """

    def __init__(self, total: int, stream: TextIO | None = None):
        self._stream = stream or sys.stdout
        self._total, self._done = total, 0
        self._beat: dict[str, float] = {}
        self._bars = Bars(total, self._stream) if self._stream.isatty() else None

    def running(self, rows: list[tuple[str, int, int, float, float]], left: float):
        """Show the running notebooks.

        Args:
            rows: (name, cell, cells, seconds so far, seconds left) of each.
            left: seconds left for the whole series.
        """
        if self._bars:
            self._bars.show(rows, left, self._done)
            return
        now = time.monotonic()
        for name, cell, cells, spent, rest in rows:
            if now - self._beat.get(name, -HEARTBEAT_S) >= HEARTBEAT_S:
                self._beat[name] = now
                self._say(
                    f"  {name:<28} cell {cell:>2}/{cells:<2}  {clock(spent)} spent, "
                    f"about {clock(rest)} left; all: about {clock(left)}"
                )

    def ended(self, result: "Result") -> None:
        """Print the line that stays for a notebook."""
        self._done += 1
        mark = "ok  " if result.passed else "FAIL"
        how = "unchanged" if result.cached else f"{clock(result.seconds)}"
        why = "" if result.passed else f"  {result.failures[0]}"
        self._say(
            f"{mark} {result.name:<28} {how:<9} "
            f"({self._done}/{self._total}, {result.profile}){why}"
        )

    def close(self) -> None:
        """Take the bars away."""
        if self._bars:
            self._bars.close()

    def _say(self, line: str) -> None:
        if self._bars:
            self._bars.print(line)
        else:
            print(line, file=self._stream, flush=True)


class Bars:
    """rich's bars: one for each running notebook and one for the series."""

    def __init__(self, total: int, stream: TextIO):
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("  {task.description:<28}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[told]}"),
            console=Console(file=stream, highlight=False),
            transient=True,
        )
        self._all = self._rich.add_task("all notebooks", total=total, told="")
        self._tasks: dict[str, int] = {}
        self._rich.start()

    def show(self, rows: list[tuple[str, int, int, float, float]], left: float, done):
        """Draw the state; arguments as in `Progress.running`."""
        names = {row[0] for row in rows}
        for name in set(self._tasks) - names:
            self._rich.remove_task(self._tasks.pop(name))
        for name, cell, cells, spent, rest in rows:
            if name not in self._tasks:
                self._tasks[name] = self._rich.add_task(name, total=1.0, told="")
            told = (
                f"cell {cell}/{cells}, {clock(spent)} spent, about {clock(rest)} left"
            )
            share = spent / (spent + rest)
            self._rich.update(self._tasks[name], completed=share, told=told)
        told = f"{done} done, about {clock(left)} left"
        self._rich.update(self._all, completed=done, told=told)

    def print(self, line: str) -> None:
        """A line above the bars."""
        self._rich.console.print(line, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bars away."""
        self._rich.stop()


def failure_text(result: "Result") -> str:
    """A failed notebook in words: every failure, the cell's source, the traceback."""
    parts = [f"\n==== {result.name} ({result.profile}) failed ===="]
    for failure in result.failures:
        parts.append(f"-- {failure}")
        if failure.detail:
            parts.append(failure.detail.rstrip())
    parts.append(f"executed copy: {result.executed}\n")
    return "\n".join(parts)


def notes_text(results: Iterable["Result"]) -> str:
    """Messages of other people's packages, each once, with a notebook it came from."""
    first: dict[str, str] = {}
    for result in results:
        for note in result.notes:
            first.setdefault(note, result.name)
    if not first:
        return ""
    lines = [f"  {note} ({name})" for note, name in first.items()]
    return "\n".join(
        [f"{len(lines)} note(s) from other packages, which fail nothing:", *lines]
    )


def write_junit(results: Iterable["Result"], path: Path) -> None:
    """JUnit XML, one test case per notebook."""
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
    """CSV with one row per cell: notebook, cell, seconds."""
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
