"""What the tests of ``workbench train`` share: small commands and their folders."""

import json
import os
import subprocess
import sys
from pathlib import Path

from workbench.experiment.training import run_command

ROOT = Path(__file__).resolve().parents[2]
TINY = {"world": "reviews", "max_words": 2, "steps": 2, "every": 1, "n_pairs": 20}
TINY |= {"batch_size": 4, "width": 16, "layers": 1}
FILE = {"steps": 2, "every": 1, "batch_size": 4, "samples": 4, "max_new": 4}
FILE |= {"reference_steps": 2, "max_length": 16, "width": 16, "layers": 1}


def run(method: str, out: Path, **settings) -> list[str]:
    """Train, and return the printed lines."""
    lines: list[str] = []
    run_command(method, out=out, echo=lines.append, **settings)
    return lines


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; a link by where it leads."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path).encode()
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def pairs_file(path: Path, asked: list[str]) -> Path:
    """A preference file with one pair for each of these prompts."""
    rows = [
        {"prompt": prompt, "chosen": f"yes {i}", "rejected": f"no {i}"}
        for i, prompt in enumerate(asked)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# the command line, which says "ready" before an optimiser step and waits there
HELD = """
import sys
from workbench.cli import main
from workbench.loops.session import Session
last, real = int(sys.argv.pop(1)), Session.step
def step(self, *args, **more):
    global last
    last -= 1
    if last == 0:
        print("ready", flush=True)
        sys.stdin.read()
    return real(self, *args, **more)
Session.step = step
main()
"""


def command(
    *words: str | Path, hold: int | None = None, **environment: str
) -> subprocess.Popen:
    """`workbench train` as a real process, in a session of its own.

    Args:
        words: its arguments.
        hold: the optimiser step before which it waits.
        environment: variables to add.
    """
    base = os.environ | {"WORKBENCH_PROGRESS": "0", "OMP_NUM_THREADS": "1"}
    how = ["-m", "workbench"] if hold is None else ["-c", HELD, str(hold)]
    return subprocess.Popen(
        [sys.executable, *how, "train", *map(str, words)],
        cwd=ROOT, env=base | environment, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
