"""Renew the locks: the newest versions that pyproject.toml allows, with their hashes.

    python requirements/lock.py

One file for Linux and macOS and for every Python that pyproject.toml names; a line that
holds for some of them only says so behind a semicolon. torch and what only its CUDA
builds need are left out: see install.py.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CUDA = re.compile(r"(torch|triton|nvidia-|cuda-|pytorch-triton)")
SETS = {"developer": ("lab", "dev", "oracle"), "reader": ("lab",)}
HEAD = "# Made by `make lock` from pyproject.toml; see install.py. Do not edit.\n"
# What builds the package itself; its environment is not a thrown-away one.
BUILD = "setuptools>=77\n"


def main():
    """Write developer.lock, then reader.lock with the same versions."""
    made = ""
    for name, extras in SETS.items():
        made = without_torch(resolve(extras, constraints=made))
        (HERE / f"{name}.lock").write_text(HEAD + made, encoding="utf-8")
        print(f"{name}.lock: {len(re.findall(r'^[a-z0-9]', made, re.M))} packages")


def resolve(extras, constraints="", beyond=False):
    """The text of a universal lock; torch as torch.lock pins it.

    Args:
        extras: which extras of pyproject.toml are wanted.
        constraints: an earlier lock whose versions are kept.
        beyond: without the upper bounds of pyproject.toml.
    """
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = re.search(r">=([\d.]+)", project["requires-python"]).group(1)
    wanted = [*project["dependencies"], BUILD, (HERE / "torch.lock").read_text()]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    if beyond:
        wanted = [re.sub(r",<[\w.]+$", "", line) for line in wanted]
    work = ROOT / "build" / "lock"
    work.mkdir(parents=True, exist_ok=True)
    (work / "wanted.in").write_text("\n".join(wanted) + "\n")
    # hashes do not bind in a constraint, versions do
    plain = re.sub(r" *\\\n +--hash=\S+", "", constraints)
    (work / "constraints.in").write_text(plain)
    command = [uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--upgrade", "--python-version", lowest]
    command += ["-c", str(work / "constraints.in"), str(work / "wanted.in")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def versions(text):
    """Package -> its version, or versions, in a lock."""
    found = {}
    for name, version in re.findall(r"(?m)^([A-Za-z0-9_.-]+)==([^ ;\\]+)", text):
        found[name] = f"{found[name]} or {version}" if name in found else version
    return found


def without_torch(text):
    """The lock without the packages of which torch's build decides."""
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", text)
    return "".join(entry for entry in entries if not CUDA.match(entry))


if __name__ == "__main__":
    main()
