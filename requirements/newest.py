"""Run the tests on the newest packages that pyproject.toml allows, and say what breaks.

    python requirements/newest.py            only if something is newer than the lock
    python requirements/newest.py --always

The lock is not touched: `make lock` renews it.
"""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

import install  # noqa: E402
import lock  # noqa: E402


def main(arguments):
    """Resolve, install, test, report; the status is that of the tests."""
    extras = lock.SETS["developer"]
    newest = lock.without_torch(lock.resolve(extras))
    then = lock.versions((HERE / "developer.lock").read_text(encoding="utf-8"))
    now = lock.versions(newest)
    changed = {n: v for n, v in now.items() if then.get(n) != v}
    _beyond(now, lock.versions(lock.resolve(extras, beyond=True)))
    if not changed and "--always" not in arguments:
        print("nothing is newer than the lock: its tests are these tests")
        return 0
    for name, version in changed.items():
        print(f"newer: {name} {then.get(name, '(not there)')} -> {version}")
    prefix = ROOT / ".venv-newest"
    file = ROOT / "build" / "lock" / "newest.lock"
    file.write_text(newest, encoding="utf-8")
    python = install.venv(prefix)
    built = install.torch(python, "cpu")
    print(f"torch from {built}", flush=True)
    if platform.system() == "Linux":
        _newest_torch(python)
    install.locked(python, file)
    install.package(python)
    _keep(prefix, built)
    return _tests(python, changed)


def _keep(prefix, built):
    """Let `make` in the tests take this environment as it is."""
    row = {"key": install.key("developer", "cpu"), "set": "developer", "torch": "cpu"}
    row |= {"built": built, "newest": True}
    (prefix / install.RECORD).write_text(json.dumps(row) + "\n", encoding="utf-8")


def _newest_torch(python):
    """The newest CPU build, where PyTorch's index can be reached."""
    try:
        install.through_uv(python, "cpu", "--upgrade", "torch")
    except subprocess.CalledProcessError:
        print("torch stays at the lock's: no newer CPU build could be reached")


def _tests(python, changed):
    """Run the tests and name those that fail."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [str(python), "-m", "pytest", "-n", "2", "--dist", "worksteal", "-q"]
    done = subprocess.run(
        [*command, "-rfE", "--no-header", "-p", "no:cacheprovider"],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    broken = re.findall(r"(?m)^(?:FAILED|ERROR) (.*)$", done.stdout)
    tail = done.stdout.strip().splitlines()[-1:] or [done.stderr.strip()[-300:]]
    print(f"on the newest packages: {tail[0].strip('= ')}")
    for line in broken:
        print(f"breaks: {line}")
    if broken:
        print(f"suspects: {', '.join(changed)}")
    return done.returncode


def _beyond(now, free):
    """Say which releases the upper bounds of pyproject.toml keep out."""
    for name, version in free.items():
        if name in now and now[name] != version and not lock.CUDA.match(name):
            print(
                f"not allowed yet: {name} {version} (the newest allowed: {now[name]})"
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
