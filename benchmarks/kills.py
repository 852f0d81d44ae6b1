"""Kill commands at random moments, go on, and compare with a run that nobody disturbed.

    python benchmarks/kills.py --trials 20 --seed 0

Each trial starts `workbench train`, `compare` or `run`, sends it a random signal at a
random moment of its usual duration, looks for processes that go on, calls the command
again the way that its last words say, and compares what stands in its folder with the
result of an undisturbed run. The table says for each whether every file is equal to the
last byte (of `run`: every table that the notebooks wrote), or what went wrong.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "WORKBENCH_KILLS"
SIGNALS = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")
TRAIN = "train dpo --world reviews --steps 150 --seeds 2 --out out"
PPO = "train ppo --world reviews --steps 12 --out out"
COMPARE = "compare --only dpo --only kto --only ipo --seeds 2 --steps 40 --out out"
RUN = "run --profile ci"
LESSON = """# ---
# jupyter:
#   workbench:
#     title: "{name}"
#     budget_s: {{ci: 60, lecture: 60, figure: 60}}
# ---

# %% [markdown]
# # {name}

# %% tags=["parameters"]
PROFILE = "lecture"
OUT = "."

# %%
import time
from pathlib import Path

for step in range(20):
    time.sleep(0.1)
print("{name}")

# %%
Path(OUT, "table.csv").write_text("x\\n{name}\\n")
"""


@dataclass
class Command:
    """A command and what of its folder has to be the same."""

    name: str
    words: str
    again: str
    seconds: float = 0.0
    expected: dict[str, str] | None = None


def main() -> int:
    """Run the trials and print the table; the status is 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for name in SIGNALS[1:]:  # nohup and a shell's & switch some of them off
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    commands = [
        Command("train dpo", TRAIN, f"{TRAIN} --resume"),
        Command("train ppo", PPO, f"{PPO} --resume"),
        Command("compare", COMPARE, f"{COMPARE} --resume"),
        Command("run", RUN, RUN),
    ]
    for command in commands:
        undisturbed(command)
        print(f"{command.name}: {command.seconds:.0f} s undisturbed", flush=True)
    draw = random.Random(asked.seed)
    rows = [
        trial(commands[n % len(commands)], SIGNALS[n // len(commands) % 4], draw)
        for n in range(asked.trials)
    ]
    good = sum(row[-1] == "equal" for row in rows)
    left = sum(row[3] for row in rows)
    print("\n| command | signal | at | orphans | result |")
    print("| --- | --- | --- | --- | --- |")
    for name, how, at, many, result in rows:
        print(f"| {name} | {how} | {at:.0%} | {many} | {result} |")
    print(f"\n{good} of {len(rows)} equal, {left} orphans")
    return 0 if good == len(rows) and not left else 1


def undisturbed(command: Command) -> None:
    """Time the command and keep what it leaves."""
    with folder(command) as root:
        started = time.monotonic()
        done = start(command.words, root)
        done.wait()
        command.seconds = time.monotonic() - started
        if done.returncode:
            raise SystemExit(f"{command.words} fails by itself: {done.returncode}")
        command.expected = content(command, root)


def trial(command: Command, how: str, draw: random.Random):
    """One kill: (command, signal, share of its time, orphans, what came of it)."""
    with folder(command) as root:
        at = draw.uniform(0.05, 1.0)
        running = start(command.words, root)
        try:
            running.wait(timeout=at * command.seconds)
        except subprocess.TimeoutExpired:
            running.send_signal(getattr(signal, how))
        running.wait()
        left = orphans(running.mark)
        # before anything is kept there is nothing to resume, as the last words say
        begun = (root / "out").exists() or command.name == "run"
        again = start(command.again if begun else command.words, root)
        words = again.communicate()[0]
        if again.returncode:
            result = f"went on with status {again.returncode}: {words.strip()[-200:]}"
        else:
            result = difference(command.expected, content(command, root))
        left += orphans(again.mark)
    print(f"{command.name} {how} at {at:.0%}: {result}, {left} orphans", flush=True)
    return command.name, how, at, left, result


def difference(expected: dict[str, str], found: dict[str, str]) -> str:
    """ "equal", or the names that differ."""
    names = sorted(expected.keys() | found.keys())
    differ = [name for name in names if expected.get(name) != found.get(name)]
    return "equal" if not differ else f"differs: {', '.join(differ[:5])}"


def content(command: Command, root: Path) -> dict[str, str]:
    """Name and hash of every file that the command is for."""
    top = root / ("build" if command.name == "run" else "out")
    # seconds are what they are, and an executed copy holds papermill's timestamps
    kept = "*.csv" if command.name == "run" else "*"
    skip = {"seconds.csv", ".workbench.lock"}
    return {
        path.relative_to(top).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(top.rglob(kept))
        if path.is_file() and path.name not in skip
    }


def start(words: str, root: Path) -> subprocess.Popen:
    """A workbench command in a folder, whose processes can be found later."""
    mark = uuid.uuid4().hex
    environment = os.environ | {MARK: mark, "WORKBENCH_PROGRESS": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", *words.split()],
        cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    process.mark = mark
    return process


def orphans(mark: str) -> int:
    """Processes that go on ten seconds after their command has ended."""
    end = time.monotonic() + 10
    while found := [p for p in psutil.process_iter() if carries(p, mark)]:
        if time.monotonic() > end:
            break
        time.sleep(0.2)
    for process in found:
        process.kill()
    return len(found)


def carries(process: psutil.Process, mark: str) -> bool:
    """Whether a process was started by a command of a trial."""
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False


@contextmanager
def folder(command: Command) -> Iterator[Path]:
    """A temporary folder, with three small lessons for `run`."""
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        source = Path(name) / "notebooks" / "src"
        source.mkdir(parents=True)
        for number in range(3 if command.name == "run" else 0):
            lesson = f"0{number}_lesson"
            (source / f"{lesson}.py").write_text(LESSON.format(name=lesson))
        yield Path(name)


if __name__ == "__main__":
    sys.exit(main())
