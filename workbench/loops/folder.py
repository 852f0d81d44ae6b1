"""Files of a run folder: written whole or not at all, and read with a named error."""

import hashlib
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from workbench.core import durable
from workbench.core.errors import BadRun

CARD, METRICS = "run.json", "metrics.csv"
ADVICE = "put it back as it was, or start the run again without --resume"


def versions() -> dict[str, str]:
    """Versions that numbers depend on."""
    import transformers

    import workbench

    return {
        "workbench": workbench.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def same_versions(card: Path, then: object) -> None:
    """Raise BadRun unless a run was started under the versions of now.

    Args:
        card: run.json, for the message.
        then: the versions it names.
    """
    if not isinstance(then, dict):
        raise broken(card, "it does not say under which versions the run was started")
    now = versions()
    differ = [k for k in now | then if now.get(k) != then.get(k)]
    if differ:
        told = ", ".join(f"{k} was {then.get(k)}, is {now.get(k)}" for k in differ)
        raise BadRun(
            card, "other versions", f"{told}; --resume goes on bit for bit, only under "
            "the same versions: install them, or start again without --resume",
        )  # fmt: skip


def write(path: Path, text: str) -> None:
    """Replace a text file in one move, which a loss of power cannot halve.

    Raises:
        OSError: it cannot be written; the error names the file.
    """
    with written(path):
        durable.replace(path, text)


def sync(path: Path) -> None:
    """Have a file, or a folder's list of files, on the disk; errors name it."""
    with written(path):
        durable.sync(path)


@contextmanager
def written(path: Path) -> Iterator[None]:
    """What is raised while a file is written names that file.

    Raises:
        OSError: as it was raised, with a file name.
        BadRun: safetensors, or an error without a number, says what went wrong.
    """
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        if error.errno is None:
            raise BadRun(path, "cannot be written", str(error)) from error
        raise OSError(error.errno, error.strerror, str(path)) from error
    except SafetensorError as error:
        raise BadRun(path, "cannot be written", str(error)) from error


@contextmanager
def sound(path: Path, advice: str = ADVICE) -> Iterator[None]:
    """What is raised while a file is read names that file and what to do.

    Raises:
        BadRun: the file is not there, is a folder, or holds something else.
    """
    from safetensors import SafetensorError

    try:
        yield
    except BadRun:
        raise
    except FileNotFoundError:
        raise broken(path, "it is missing", advice) from None
    except OSError as error:
        raise broken(path, error.strerror or str(error), advice) from error
    except RecursionError:
        raise broken(path, "it is nested too deeply", advice) from None
    except (ValueError, SafetensorError) as error:
        raise broken(path, str(error), advice) from error


def broken(path: Path, what: str, advice: str = ADVICE) -> BadRun:
    """The error of a file that is not as it was written."""
    return BadRun(path, "broken file", f"{what}; {advice}")


def text_of(path: Path, advice: str = ADVICE) -> str:
    """The text of a file, line ends as they are; raises BadRun."""
    with sound(path, advice):
        return path.read_bytes().decode("utf-8")


def object_of(path: Path, advice: str = ADVICE) -> dict:
    """The JSON object in a file; raises BadRun."""
    text = text_of(path, advice)
    with sound(path, advice):
        value = json.loads(text)
    if not isinstance(value, dict):
        raise broken(path, "it is no JSON object", advice)
    return value


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
