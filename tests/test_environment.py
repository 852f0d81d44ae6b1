"""environment.yml and pyproject.toml name the same packages with the same floors."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
# PyPI's name -> conda-forge's name, where they differ.
NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def requirement(text: str) -> tuple[str, str]:
    """Name and version range of a requirement."""
    name, bounds = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", text.strip()).groups()
    return name.lower(), bounds.replace(" ", "")


def from_pyproject() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        lines += extra
    found = dict(requirement(line) for line in lines)
    return {NAMES.get(name, name): bounds for name, bounds in found.items()} | {
        "python": project["requires-python"]
    }


def from_environment() -> dict[str, str]:
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    plain = [line for line in lines if isinstance(line, str) and line != "pip"]
    [nested] = [line["pip"] for line in lines if isinstance(line, dict)]
    assert "pip" in lines, "conda warns when pip packages come without pip"
    found = [requirement(line) for line in plain + nested]
    assert len(found) == len(dict(found)), "a package is listed twice"
    return dict(found)


def test_conda_and_pip_install_the_same_packages():
    assert from_environment() == from_pyproject()


def test_the_makefile_installs_a_torch_that_pyproject_accepts():
    line = re.search(
        r"^TORCH \?= torch==([\d.]+)$", (ROOT / "Makefile").read_text(), re.M
    )
    installed = tuple(map(int, line.group(1).split(".")))
    floor = from_pyproject()["pytorch"].removeprefix(">=")
    assert installed >= tuple(map(int, floor.split(".")))
