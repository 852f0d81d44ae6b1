"""Install what `make` needs, in the exact versions of the lock. Standard library only.

    python requirements/install.py                   readers: notebooks, command line
    python requirements/install.py --set developer   and the tests
    python requirements/install.py --here            into the Python that runs this
    python requirements/install.py --torch cu130     a GPU's build of torch

uv installs where it is found, pip otherwise, from the same files. Torch comes first and
on its own, because its build depends on the machine: on Linux, PyPI's wheel brings some
gigabytes of CUDA libraries. A CPU build is looked for in the indexes that pip is set up
with, then, through uv, in PyTorch's own; only when neither has one is PyPI's taken.

A second call with nothing to do returns at once.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LOWEST, ABOVE = (3, 11), (3, 15)
RECORD = "workbench-environment.json"
UV = "uv>=0.9,<1"  # fetched only where it is missing and a build is looked for


def main(arguments=None):
    """Install, or say in one line why not; returns the exit status."""
    asked = _arguments(arguments)
    if not LOWEST <= sys.version_info[:2] < ABOVE:
        lowest, above = (".".join(map(str, v)) for v in (LOWEST, ABOVE))
        return _fail(
            f"workbench needs Python {lowest} or later, below {above}; this is "
            f"{platform.python_version()}. Another one: make PYTHON=python{lowest}"
        )
    prefix = Path(sys.prefix) if asked.here else Path(asked.venv)
    wanted = {
        "key": key(asked.set, asked.torch),
        "set": asked.set,
        "torch": asked.torch,
    }
    if covers(record(prefix), wanted):
        return 0
    print(
        f"Installing the {asked.set}'s environment into {prefix} "
        "(once; 2 GB, or 6 GB with CUDA; a few minutes)",
        flush=True,
    )
    try:
        python = Path(sys.executable) if asked.here else venv(prefix)
        built = torch(python, asked.torch)
        locked(python, lock(asked.set))
        package(python)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip()
        return _fail(f"{said}\nfailed: {' '.join(map(str, error.cmd))}")
    (prefix / RECORD).write_text(
        json.dumps({**wanted, "built": built}, indent=1) + "\n"
    )
    return 0


def key(which, backend):
    """What an environment depends on, as 16 digits."""
    parts = [lock(which).read_bytes(), (HERE / "torch.lock").read_bytes()]
    parts += [(ROOT / "pyproject.toml").read_bytes(), backend.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def lock(which):
    """The lock of a set of packages."""
    return HERE / f"{which}.lock"


def record(prefix):
    """What stands in an environment, {} if that is not known."""
    try:
        found = json.loads((prefix / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def covers(there, wanted):
    """Whether an environment has what is wanted; a developer's has a reader's."""
    if there.get("key") == wanted["key"]:
        return True
    developer = key("developer", wanted["torch"])
    return wanted["set"] == "reader" and there.get("key") == developer


def venv(prefix):
    """The Python of a virtual environment, made if it is not there."""
    folder = prefix / ("Scripts" if os.name == "nt" else "bin")
    python = folder / ("python.exe" if os.name == "nt" else "python")
    if _works(python):
        return python
    try:
        run(sys.executable, "-m", "venv", "--clear", prefix)
    except subprocess.CalledProcessError:
        # Debian packs venv apart from Python
        if not shutil.which("uv"):
            raise
        run("uv", "venv", "--seed", "--clear", "--python", sys.executable, prefix)
    return python


def torch(python, backend):
    """Install torch; returns where its build came from."""
    wanted = pinned()
    if backend == "cpu" and platform.system() != "Linux":
        pip(python, wanted)  # elsewhere PyPI's build has no CUDA
        return "PyPI"
    if backend == "cpu":
        if _tried(lambda: pip(python, f"{wanted}+cpu")):
            return "an index that pip is set up with"
        if _tried(lambda: through_uv(python, backend, wanted)):
            return "PyTorch's index"
        print(
            "No CPU build of torch could be reached: PyPI's is installed, which brings "
            "CUDA libraries (about 4 GB more). It runs without a GPU.",
            flush=True,
        )
        pip(python, wanted)
        return "PyPI"
    if backend == "pypi":
        pip(python, wanted)
        return "PyPI"
    through_uv(python, backend, wanted)
    return "PyTorch's index"


def pinned():
    """The requirement of torch.lock."""
    lines = (HERE / "torch.lock").read_text().split("\n")
    return next(line for line in lines if line and not line.startswith("#"))


def through_uv(python, backend, *wanted):
    """Torch from PyTorch's own index, whose address uv knows."""
    uv = shutil.which("uv")
    if uv is None:
        pip(python, UV)
        uv = str(Path(python).parent / "uv")
    options = ["--quiet", "--python", python, "--torch-backend", backend]
    run(uv, "pip", "install", *options, *wanted)


def locked(python, path):
    """Install every package of a lock, by its hash, and nothing else."""
    options = ["--quiet", "--no-deps", "--require-hashes", "-r", path]
    if uv := shutil.which("uv"):
        run(uv, "pip", "install", "--python", python, *options)
    else:
        pip(python, *options)


def package(python):
    """The clone itself, so that an edit counts without another install."""
    pip(python, "--quiet", "--no-deps", "--no-build-isolation", "-e", ROOT)


def pip(python, *arguments):
    """pip install, quietly."""
    quiet = ["--disable-pip-version-check", "--no-input", "--quiet"]
    run(python, "-m", "pip", "install", *quiet, *arguments)


def run(*command):
    """Run a command; its output is kept for the message of a failure."""
    command = [str(part) for part in command]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _tried(install):
    try:
        install()
    except subprocess.CalledProcessError:
        return False
    return True


def _works(python):
    """Whether a Python is there and runs; a moved folder leaves one that does not."""
    try:
        done = subprocess.run(
            [str(python), "-m", "pip", "--version"], capture_output=True
        )
    except OSError:
        return False
    return done.returncode == 0


def _arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=("reader", "developer"), default="reader")
    parser.add_argument("--venv", default=str(ROOT / ".venv"))
    parser.add_argument("--here", action="store_true", help="no environment of its own")
    parser.add_argument(
        "--torch", default="cpu", help="cpu, pypi, or a backend of uv such as cu130"
    )
    return parser.parse_args(arguments)


def _fail(message):
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
