"""The package is whole: a wheel works from an empty folder, without a clone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel that `pip install` of the repository builds, from a copy of it."""
    folder = tmp_path_factory.mktemp("wheel")
    asked = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(asked, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if name.startswith(("workbench/", "pyproject", "README", "LICENSE")):
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    build += ["--no-build-isolation", "--wheel-dir", str(folder), "./source"]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder to be put on Python's path, with nothing but the wheel's content."""
    target = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run(installed: Path, folder: Path, *words: str) -> str:
    """A workbench command in an empty folder."""
    done = subprocess.run(
        [sys.executable, "-m", "workbench", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_all_that_git_has_below_the_package(wheel):
    asked = ["git", "ls-files", "-co", "--exclude-standard", "workbench"]
    names = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True).stdout
    with zipfile.ZipFile(wheel) as archive:
        there = set(archive.namelist())
    assert [n for n in names.splitlines() if n not in there] == []


def test_a_world_is_trained_in_from_an_empty_folder(installed, tmp_path):
    where = "import workbench; print(workbench.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    ).stdout
    assert Path(found.strip()).is_relative_to(installed)
    words = "train dpo --world reviews --steps 2 --out out".split()
    run(installed, tmp_path, *words)
    assert "<img" in (tmp_path / "out" / "report.html").read_text()


def test_methods_and_claims_are_told_without_a_clone(installed, tmp_path):
    assert "reproduced" in run(installed, tmp_path, "methods", "dpo")


@pytest.mark.parametrize("command", ["run", "lab", "site"])
def test_what_needs_a_clone_says_so(command, installed, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "workbench", command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "inside a clone of workbench" in done.stderr
    assert "Traceback" not in done.stderr
