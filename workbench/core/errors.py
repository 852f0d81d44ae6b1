"""Errors with names: what went wrong, where, and what to do about it.

Every one of them is a ``WorkbenchError``, so the command line shows its message and
no traceback.
"""

from pathlib import Path

LONGEST = 2_000  # characters of a message; a key of 100 kB says no more than its start


def printable(text: object, most: int = LONGEST) -> str:
    """Text from a file or a name as it may be shown on a terminal.

    Control characters, which could clear the screen or change its title, are spelled
    out; what is over ``most`` characters is cut in the middle.
    """
    shown = "".join(
        c if c.isprintable() or c in "\n\t" else _spelled(c) for c in str(text)
    )
    if len(shown) <= most:
        return shown
    half = (most - 30) // 2
    cut = len(shown) - 2 * half
    return f"{shown[:half]} … ({cut} characters) … {shown[-half:]}"


def _spelled(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


class WorkbenchError(Exception):
    """Any error whose message is meant for the person who runs the workbench."""

    def __str__(self) -> str:
        return printable(super().__str__())


class WorkbenchWarning(UserWarning):
    """Something that the user should know, and that is no error."""


class BadInput(WorkbenchError, ValueError):
    """A file the user gave cannot be used as it is.

    Attributes:
        file: the file.
        line: line (JSONL) or row (parquet), counted from 1; None for the whole file.
        reason: one short phrase, the same for every case of its kind.
        detail: what was found and what was expected.
    """

    def __init__(self, file: str | Path, line: int | None, reason: str, detail: str):
        self.file, self.line = Path(file), line
        self.reason, self.detail = reason, detail
        where = f"{self.file}" if line is None else f"{self.file}, line {line}"
        super().__init__(
            f"{where}: {reason}: {detail}" if detail else f"{where}: {reason}"
        )


class BadRecord(BadInput):
    """One line of a preference file cannot be used; the others may be."""


class BadFile(BadInput):
    """A whole file cannot be used: missing, empty, of an unknown kind, unreadable."""

    def __init__(self, file: str | Path, reason: str, detail: str = ""):
        super().__init__(file, None, reason, detail)


class BadCheckpoint(BadFile):
    """A folder is no Hugging Face checkpoint that can be loaded safely."""


class BadRun(BadFile):
    """A run folder cannot be resumed or written."""


class MissingInput(WorkbenchError, ValueError):
    """A method needs something that the data at hand does not have."""


class NonFiniteLoss(WorkbenchError, ArithmeticError):
    """A loss became NaN or infinite; training stops before it reaches the weights.

    Attributes:
        step: loop step.
        rows: rows of the batch whose loss is not finite.

    Args:
        step: loop step.
        rows: rows of the batch.
        losses: what each of these rows has.
    """

    def __init__(self, step: int, rows: list[int], losses):
        self.step, self.rows = step, rows
        shown = ", ".join(
            f"row {row}: {loss.item()}"
            for row, loss in zip(rows[:4], losses, strict=False)
        )
        super().__init__(f"step {step}: {len(rows)} losses are not finite ({shown})")


class NonFiniteGradient(WorkbenchError, ArithmeticError):
    """The loss is finite but its gradient is not; training would ruin every weight.

    Attributes:
        method: whose loss it is.
        when: where that happened.
    """

    def __init__(self, method: str, when: str):
        self.method, self.when = method, when
        super().__init__(f"{method}: the gradient is not finite {when}")


class BadOption(WorkbenchError, ValueError):
    """A setting has an unknown name or a value that it cannot take."""


class BadCall(WorkbenchError, ValueError):
    """Parts that were given to a loop do not fit together; nothing has been trained."""
