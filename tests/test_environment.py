"""What is installed is what is locked, declared and imported, and nothing else."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata, util
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {"reader": ("lab",), "developer": ("lab", "dev", "oracle")}
# PyPI's name -> conda-forge's name, where they differ.
NAMES = {
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",
    "jupyter-client": "jupyter_client",
    "huggingface-hub": "huggingface_hub",
}
PYTHONS = ("3.11.9", "3.12.1", "3.13.0", "3.14.0")
PLATFORMS = (("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"),
             ("darwin", "Darwin", "arm64"), ("darwin", "Darwin", "x86_64"))  # fmt: skip


def load(name: str):
    """A script of requirements/, which is no package."""
    path = ROOT / "requirements" / f"{name}.py"
    spec = util.spec_from_file_location(f"requirements_{name}", path)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


install, lock = load("install"), load("lock")


def declared(which: str) -> list[Requirement]:
    """The requirements of pyproject.toml that a set of packages answers."""
    lines = list(PROJECT["dependencies"])
    for extra in EXTRAS[which]:
        lines += PROJECT["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def locked(which: str) -> list[tuple[Requirement, list[str]]]:
    """Each entry of a lock with its hashes."""
    text = (ROOT / "requirements" / f"{which}.lock").read_text()
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]
    return [
        (Requirement(entry.split("\\")[0]), re.findall(r"--hash=(\S+)", entry))
        for entry in entries
    ]


def environment(python: str, platform: tuple[str, str, str]) -> dict[str, str]:
    """Marker values of an interpreter elsewhere."""
    return {
        "python_version": python.rsplit(".", 1)[0],
        "python_full_version": python,
        "sys_platform": platform[0],
        "platform_system": platform[1],
        "platform_machine": platform[2],
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def holds(marker: Marker | None, where: dict[str, str]) -> bool:
    return marker is None or marker.evaluate(where)


def versions_at(which: str, where: dict[str, str]) -> dict[str, Version]:
    """Package -> locked version, for one interpreter."""
    found = {}
    for entry, _ in locked(which):
        if holds(entry.marker, where):
            name = canonicalize_name(entry.name)
            assert name not in found, f"{name} is locked twice for {where}"
            found[name] = Version(next(iter(entry.specifier)).version)
    torch = Requirement(install.pinned())
    return found | {"torch": Version(next(iter(torch.specifier)).version)}


# ---- the lock -----------------------------------------------------------------------


@pytest.mark.parametrize("which", EXTRAS)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda p: "-".join(p[::2]))
def test_the_lock_answers_every_requirement_within_its_range(which, python, platform):
    where = environment(python, platform)
    there = versions_at(which, where)
    for wanted in declared(which):
        version = there.get(canonicalize_name(wanted.name))
        assert version is not None, f"{wanted.name} is not locked for {where}"
        assert wanted.specifier.contains(version), f"{wanted} but {version} is locked"


@pytest.mark.parametrize("which", EXTRAS)
def test_every_entry_is_exact_and_hashed(which):
    for entry, hashes in locked(which):
        assert [s.operator for s in entry.specifier] == ["=="], entry
        assert hashes, f"{entry} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in hashes)


def test_no_cuda_library_is_locked():
    names = [entry.name for which in EXTRAS for entry, _ in locked(which)]
    assert not [name for name in names if lock.CUDA.match(name)]


def test_a_reader_has_a_developers_versions():
    developer = {str(entry) for entry, _ in locked("developer")}
    assert {str(entry) for entry, _ in locked("reader")} <= developer


def test_every_range_ends_at_a_major_release():
    for wanted in declared("developer"):
        bounds = {s.operator: s.version for s in wanted.specifier}
        if "==" in bounds:
            continue
        assert re.fullmatch(r"\d+", bounds.get("<", "")), f"{wanted} has no upper bound"
        assert Version(bounds[">="]) < Version(bounds["<"])


# ---- what the installer does ------------------------------------------------------


@pytest.fixture
def calls(monkeypatch):
    """What install.py would run; those whose text holds a word of `refused` fail."""
    done, refused = [], []

    def run(*command):
        text = " ".join(map(str, command))
        done.append(text)
        if any(word in text for word in refused):
            raise subprocess.CalledProcessError(1, command, stderr="not to be had")

    monkeypatch.setattr(install, "run", run)
    monkeypatch.setattr(install.platform, "system", lambda: "Linux")
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    return done, refused


def test_a_cpu_build_that_pip_finds_is_taken(calls):
    done, _ = calls
    assert install.torch("python", "cpu") == "an index that pip is set up with"
    assert [c for c in done if "torch==" in c][0].endswith(f"{install.pinned()}+cpu")
    assert len(done) == 1


def test_otherwise_uv_asks_pytorchs_index(calls):
    done, refused = calls
    refused.append("+cpu")
    assert install.torch("python", "cpu") == "PyTorch's index"
    assert "--torch-backend cpu" in done[-1]
    assert done[-1].endswith(install.pinned())


def test_only_then_pypis_build_is_taken_and_the_user_is_told(calls, capsys):
    done, refused = calls
    refused += ["+cpu", "--torch-backend"]
    assert install.torch("python", "cpu") == "PyPI"
    assert done[-1].endswith(f" {install.pinned()}")
    assert "CUDA" in capsys.readouterr().out


def test_a_gpus_build_is_asked_for_by_one_word(calls):
    done, refused = calls
    assert install.torch("python", "cu130") == "PyTorch's index"
    assert "--torch-backend cu130" in done[-1]
    refused.append("--torch-backend")
    with pytest.raises(subprocess.CalledProcessError):
        install.torch("python", "cu130")


def test_macs_take_pypis_build_which_has_no_cuda(calls, monkeypatch):
    monkeypatch.setattr(install.platform, "system", lambda: "Darwin")
    assert install.torch("python", "cpu") == "PyPI"
    assert calls[0][-1].endswith(f" {install.pinned()}")


@pytest.mark.parametrize("uv", [None, "uv"])
def test_uv_and_pip_install_the_same_file_by_its_hashes(uv, calls, monkeypatch):
    monkeypatch.setattr(install.shutil, "which", lambda name: uv)
    install.locked("python", install.lock("reader"))
    [text] = calls[0]
    assert text.startswith("uv pip" if uv else "python -m pip")
    assert "--require-hashes" in text
    assert text.endswith(str(ROOT / "requirements" / "reader.lock"))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"key": 3}', "null"])
def test_a_broken_record_means_that_nothing_is_known(content, tmp_path):
    (tmp_path / install.RECORD).write_text(content)
    wanted = {"key": install.key("reader", "cpu"), "set": "reader", "torch": "cpu"}
    assert not install.covers(install.record(tmp_path), wanted)


def test_a_developers_environment_serves_a_reader_and_not_the_other_way():
    def wanted(which, torch="cpu"):
        return {"key": install.key(which, torch), "set": which, "torch": torch}

    assert install.covers(wanted("developer"), wanted("reader"))
    assert not install.covers(wanted("reader"), wanted("developer"))
    assert not install.covers(wanted("developer"), wanted("reader", "cu130"))


def test_another_python_is_refused_in_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(install.sys, "version_info", (3, 10, 4))
    assert install.main([]) == 1
    assert "workbench needs Python 3.11 or later" in capsys.readouterr().err


# ---- what is installed here -------------------------------------------------------


def test_a_plain_install_brings_no_cuda():
    """Unless a GPU's build was asked for, or no CPU build could be reached."""
    import torch

    there = install.record(Path(sys.prefix))
    if there.get("torch", "cpu") == "cpu" and there.get("built") != "PyPI":
        assert torch.version.cuda is None
        names = [d.metadata["Name"] or "" for d in metadata.distributions()]
        assert not [name for name in names if name.startswith("nvidia-")]


def test_what_make_installed_is_what_is_locked():
    there = install.record(Path(sys.prefix))
    if not there or there.get("newest"):
        return  # of another making, or that of `make newest`
    where = {"extra": ""}
    for entry, _ in locked(there["set"]):
        if entry.marker is None or entry.marker.evaluate(where):
            version = next(iter(entry.specifier)).version
            assert metadata.version(entry.name) == version, entry.name


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    done = subprocess.run(
        [sys.executable, "-m", "deptry", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr


# ---- conda and containers ------------------------------------------------------------


def conda(file: str) -> dict[str, str]:
    """Package -> version range of a conda file."""
    lines = yaml.safe_load((ROOT / file).read_text())["dependencies"]
    plain = [line for line in lines if isinstance(line, str) and line != "pip"]
    [nested] = [line["pip"] for line in lines if isinstance(line, dict)]
    assert "pip" in lines, "conda warns when pip packages come without pip"
    every = plain + [line for line in nested if not line.startswith("-")]
    found = [re.fullmatch(r"([\w.-]+)(.*)", line).groups() for line in every]
    assert len(found) == len(dict(found)), "a package is listed twice"
    return dict(found)


def in_conda(requirements: list[str]) -> dict[str, str]:
    found = dict(re.fullmatch(r"([\w.-]+)(.*)", r).groups() for r in requirements)
    return {NAMES.get(name, name): bounds for name, bounds in found.items()}


def test_conda_and_pip_install_the_same_packages():
    extras = PROJECT["optional-dependencies"]
    reader = in_conda(PROJECT["dependencies"] + extras["lab"])
    there = conda("environment.yml")
    assert there.pop("python") == PROJECT["requires-python"]
    assert there.pop("setuptools")
    assert there == reader
    assert conda("environment-dev.yml") == in_conda(extras["dev"] + extras["oracle"])


def test_conda_installs_the_clone_itself():
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert "-e ." in lines[-1]["pip"]


def test_make_binder_and_the_container_install_from_the_lock():
    dry = ["make", "-n", "env", "VENV=elsewhere"]
    asked = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True)
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    texts = {
        "make": asked.stdout,
        "binder": (ROOT / "binder/postBuild").read_text(),
        "Dockerfile": (ROOT / ".devcontainer/Dockerfile").read_text(),
        "devcontainer": container["postCreateCommand"],
    }
    for name, text in texts.items():
        assert "requirements/install.py" in text, name
    assert os.access(ROOT / "binder/postBuild", os.X_OK)
