"""The verdict on an executed notebook.

papermill passes a notebook that called `sys.exit(0)` half-way or whose `interact`
callback raised, and fails one whose error is intended. So it only executes; what counts
as a failure is decided here, from the executed copy. What other people's packages say,
and how long a slow machine takes, is no failure.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workbench.core import notes

CLAIM = "application/vnd.workbench.claim+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
MAX_BYTES = 1_000_000
# What `views.instruments` writes for a book; the runner imports no views. It is no part
# of the committed copy, and each instrument has a limit of its own.
STATES = "application/vnd.workbench.states+json"

# On CI a notebook fails over twice its budget: processors differ, and so do neighbours.
OVER = 2.0

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# "/a/b.py:12: UserWarning: text", as Python writes a warning
_WARNING = re.compile(r"^(?P<file>.+?):\d+: (?P<category>\w+): (?P<text>.*)$")
_CRASH = re.compile(r"^(Traceback \(most recent call last\)|Exception ignored in)")


@dataclass(frozen=True)
class Failure:
    """One reason why a notebook fails.

    Attributes:
        kind: "error", "not executed", "widget error", "stderr", "unknown parameter",
            "over budget", "stuck", "memory", "dead kernel", "too large",
            "missed claim", "no claim key", "engine" or "runner".
        message: one line.
        cell: position among the notebook's cells from 1, None if no cell is to blame.
        detail: the cell's source and the traceback or text, plain.
    """

    kind: str
    message: str
    cell: int | None = None
    detail: str = ""

    def __str__(self) -> str:
        where = f"cell {self.cell}: " if self.cell is not None else ""
        return f"{self.kind}: {where}{self.message}"


def plain(text: str) -> str:
    """Text without terminal colours."""
    return _ANSI.sub("", text)


def tags(cell: Any) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def judge(
    notebook: Any,
    *,
    declared: Iterable[str],
    passed: Iterable[str],
    size: int,
    stderr_allow: Iterable[str] = (),
    ended: str = "finished",
    message: str = "",
    at: int | None = None,
) -> list[Failure]:
    """All reasons why an executed notebook fails; none means that it passes.

    Args:
        notebook: the executed copy, without papermill's banner cells.
        declared: names in its parameters cell.
        passed: names that were injected.
        size: bytes of the executed copy.
        stderr_allow: patterns of expected lines on stderr.
        ended: how the worker ended: "finished", "cell error", "dead kernel", "stuck",
            "memory" or "engine".
        message: the worker's message about it.
        at: index, among all cells of the executed copy, of the last one started.

    Returns:
        Failures, the root cause first.
    """
    failures = _ending(notebook, ended, message, at)
    failures += _errors(notebook)
    # Once something broke, cells behind it cannot have run: not a second finding.
    failures += [] if failures else _not_executed(notebook)
    failures += _widget_errors(notebook)
    failures += _stderr(notebook, list(stderr_allow))
    for name in sorted(set(passed) - set(declared)):
        failures.append(
            Failure(
                "unknown parameter",
                f"{name} is not in the parameters cell "
                f"({', '.join(sorted(declared)) or 'which is empty'})",
            )
        )
    size -= sum(len(json.dumps(states)) for states in _states(notebook))
    if size > MAX_BYTES:
        failures.append(
            Failure(
                "too large",
                f"executed copy has {size / 1e6:.2f} MB, at most {MAX_BYTES / 1e6:g}; "
                f"largest: {_largest(notebook)}",
            )
        )
    return failures + _missed_claims(notebook)


def over_budget(budget_s: float, seconds: float) -> list[Failure]:
    """A failure if a notebook used more than twice its budget.

    Args:
        budget_s: what it may use on this machine.
        seconds: what it used; of the processor where that is known, so that other work
            on the machine does not count.
    """
    if seconds <= OVER * budget_s:
        return []
    message = f"took {seconds:.1f} s of the processor, declared {budget_s:.1f} s"
    return [Failure("over budget", message)]


def claims(notebook: Any) -> list[dict[str, Any]]:
    """The claims that a notebook's cells emitted, in order."""
    return [claim for _, claim in _claims(notebook)]


def _cells(notebook: Any) -> list[tuple[int, Any]]:
    """Code cells with their position in the source, injected parameters as None."""
    own = [c for c in notebook.cells if "injected-parameters" not in tags(c)]
    return [(n, c) for n, c in enumerate(own, start=1) if c.cell_type == "code"]


def _ending(notebook: Any, ended: str, message: str, at: int | None) -> list[Failure]:
    if ended in ("finished", "cell error"):
        return []
    first = (message or "the worker was stopped").splitlines()[0]
    running = None if at is None or at >= len(notebook.cells) else notebook.cells[at]
    for n, cell in _cells(notebook):
        if cell is running:
            return [Failure(ended, first, n, _shown(cell, message))]
    return [Failure(ended, first, detail=message)]


def _errors(notebook: Any) -> list[Failure]:
    found = []
    for n, cell in _cells(notebook):
        if "raises-exception" in tags(cell):
            if cell.execution_count is not None and not any(
                output.output_type == "error" for output in cell.outputs
            ):
                found.append(
                    Failure(
                        "error",
                        "tagged raises-exception, but raised nothing",
                        n,
                        _shown(cell, ""),
                    )
                )
            continue
        for output in cell.outputs:
            if output.output_type == "error":
                trace = plain("\n".join(output.get("traceback", [])))
                found.append(
                    Failure(
                        "error",
                        plain(f"{output.ename}: {output.evalue}").splitlines()[0],
                        n,
                        _shown(cell, trace),
                    )
                )
    return found


def _is_waiting(cell: Any) -> bool:
    return bool(cell.source.strip()) and cell.execution_count is None


def _not_executed(notebook: Any) -> list[Failure]:
    waiting = [(n, c) for n, c in _cells(notebook) if _is_waiting(c)]
    if not waiting:
        return []
    first, cell = waiting[0]
    count = f"{len(waiting)} code cell" + ("s" if len(waiting) > 1 else "")
    before = [c for n, c in _cells(notebook) if n < first and c.source.strip()]
    detail = _shown(before[-1], "(the last cell that ran)") if before else ""
    return [
        Failure(
            "not executed",
            f"{count} never ran, from here on",
            first,
            detail + _shown(cell, "(the first cell that did not)"),
        )
    ]


def _widget_errors(notebook: Any) -> list[Failure]:
    state = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    found = []
    for model in state.values():
        for output in model.get("state", {}).get("outputs", ()):
            if output.get("output_type") == "error":
                found.append(
                    Failure(
                        "widget error",
                        plain(f"{output.get('ename')}: {output.get('evalue')}"),
                        detail=plain("\n".join(output.get("traceback", []))),
                    )
                )
    return found


def foreign(notebook: Any) -> list[str]:
    """What other people's packages wrote to stderr, one line each."""
    every = [line for _, cell in _cells(notebook) for line in _stderr_lines(cell)]
    heads = [line for line, own in every if not own and line[:1].strip()]
    return [line[:300] for line in heads]


def _stderr(notebook: Any, allow: list[str]) -> list[Failure]:
    """Our own warnings, a cell's, and crashes outside a cell's own thread."""
    found = []
    for n, cell in _cells(notebook):
        lines = [
            line
            for line, own in _stderr_lines(cell)
            if own and not any(re.search(p, line) for p in allow)
        ]
        if lines:
            found.append(
                Failure(
                    "stderr",
                    lines[0].strip()[:120],
                    n,
                    _shown(cell, "\n".join(lines[:20])),
                )
            )
    return found


def _stderr_lines(cell: Any) -> list[tuple[str, bool]]:
    """Lines on stderr, and whether each is this project's own affair.

    A warning is ours by the file that it blames and its category. A traceback is ours
    to its end: something failed that no cell's output shows.
    """
    found, crashed = [], False
    for output in cell.outputs:
        if output.output_type != "stream" or output.name != "stderr":
            continue
        for line in plain(output.text).splitlines():
            crashed = crashed or bool(_CRASH.match(line))
            follows = line.startswith("  ") and bool(found) and found[-1][1]
            found.append((line, crashed or follows or _is_own_warning(line)))
    return found


def _is_own_warning(line: str) -> bool:
    match = _WARNING.match(line)
    if not match or not match["category"].endswith("Warning"):
        return False
    category = _categories().get(match["category"], UserWarning)
    return not notes.is_foreign(category, match["file"])


def _categories() -> dict[str, type[Warning]]:
    """Python's own warning categories by name."""
    import builtins

    return {
        name: found
        for name, found in vars(builtins).items()
        if isinstance(found, type) and issubclass(found, Warning)
    }


def _missed_claims(notebook: Any) -> list[Failure]:
    found = []
    for n, claim in _claims(notebook):
        if not claim.get("key"):
            found.append(Failure("no claim key", f"a claim without key: {claim}", n))
        elif claim.get("missed", True):
            found.append(
                Failure(
                    "missed claim",
                    f"{claim['key']} ({claim.get('verdict', 'no verdict')}): "
                    f"{claim.get('statement', '')}",
                    n,
                )
            )
    return found


def _claims(notebook: Any) -> list[tuple[int, dict[str, Any]]]:
    return [
        (n, dict(output.data[CLAIM]))
        for n, cell in _cells(notebook)
        for output in cell.outputs
        if CLAIM in output.get("data", {})
    ]


def _states(notebook: Any) -> list[Any]:
    """The states of all instruments."""
    return [
        output.data[STATES]
        for _, cell in _cells(notebook)
        for output in cell.outputs
        if STATES in output.get("data", {})
    ]


def _largest(notebook: Any) -> str:
    sizes = {f"cell {n}": len(json.dumps(cell.outputs)) for n, cell in _cells(notebook)}
    sizes["metadata (widgets)"] = len(json.dumps(notebook.metadata))
    name = max(sizes, key=lambda key: sizes[key])
    return f"{name} with {sizes[name] / 1e6:.2f} MB"


def _shown(cell: Any, text: str) -> str:
    source = "\n".join(f"    {line}" for line in cell.source.splitlines())
    return f"{source}\n{text}\n" if text else f"{source}\n"
