"""README's commands, as they stand there, from a bare shell in a clone.

The clone is this one with three short lessons instead of the series and one file of
tests, so that `make run` and `make test` take seconds; everything else is as shipped.
What takes minutes is started, waited for until it has done something, and stopped as a
reader would stop it: that has to be clean, too.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.models import families

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIXTURES = ROOT / "tests" / "runner" / "fixtures"
# command -> what it prints once it has begun to work; then it is interrupted
STOPPED = {
    "make lab": "JupyterLab is at",
    ".venv/bin/workbench lab --fresh 20 --no-browser": "JupyterLab is at",
    "make figure": "00_start_here",
    "workbench compare --family direct --out build/compare": "[2/",
}
PATIENCE_S = 900  # only a broken command is waited for so long


def commands() -> list[str]:
    """Every line of every shell block, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy of what git has here, small lessons, and this environment as .venv."""
    target = tmp_path_factory.mktemp("readme") / "a clone"
    asked = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(asked, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file() and wanted(name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    source = target / "notebooks" / "src"
    source.mkdir(parents=True)
    for name, fixture in (("00_start_here", "pass_plain"), ("20_dpo", "pass_table")):
        shutil.copy(FIXTURES / f"{fixture}.py", source / f"{name}.py")
    publish(target)
    if not (Path(sys.prefix) / "workbench-environment.json").exists():
        pytest.fail("make would install into this environment: use make test")
    (target / ".venv").symlink_to(sys.prefix)
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)
    (target / "my_method.py").write_text(python_blocks()[0], encoding="utf-8")
    (target / "file.jsonl").write_text(pairs(), encoding="utf-8")
    for name in ("reference", "policy"):
        families.save("inst", target / name, positions=512)
    return target


def wanted(name: str) -> bool:
    """Not the lessons, and of the tests only one file."""
    if name.startswith("tests/"):
        return name in ("tests/conftest.py", "tests/core/test_kl.py")
    if name == "notebooks/ruff.toml":
        return True
    return not name.startswith(("notebooks/", "data/results/"))


def publish(root: Path) -> None:
    """Give the clone committed notebooks, as a clone has."""
    from workbench.runner import build, series

    for path in series.sources(root):
        source = build.read(path)
        build.write(source.notebook, root / "notebooks" / f"{source.name}.ipynb")


def pairs() -> str:
    rows = [
        {"prompt": f"Say {n}.", "chosen": f"{n}, of course", "rejected": f"no {n}"}
        for n in range(12)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def shell(command: str, clone: Path) -> subprocess.Popen:
    """A command in a shell that knows nothing but where programs and the user live."""
    needs_venv = command.startswith("workbench")
    line = f"source .venv/bin/activate && {command}" if needs_venv else command
    known = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(clone.parent)}
    # a test beside this one has the other processor: two threads would wait for it
    known["OMP_NUM_THREADS"] = "1"
    return subprocess.Popen(
        ["bash", "--noprofile", "--norc", "-c", line],
        cwd=clone,
        env=known | python_on(clone),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def python_on(clone: Path) -> dict[str, str]:
    """`make` asks for a python3 of 3.11 or later: this one, wherever it is."""
    return {"PYTHON": str(Path(sys.executable).resolve())}


def test_readme_has_commands_and_each_slow_one_is_among_them():
    assert len(commands()) >= 10
    assert set(STOPPED) <= set(commands())


@pytest.mark.parametrize("command", [c for c in commands() if c not in STOPPED])
def test_command_works(command, clone):
    run = shell(command, clone)
    output, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, output
    assert "Traceback" not in output


@pytest.mark.parametrize("command", STOPPED)
def test_command_begins_and_stops_cleanly(command, clone):
    run = shell(command, clone)
    output = until(run, STOPPED[command])
    os.killpg(run.pid, signal.SIGINT)
    rest, _ = run.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in output + rest


def until(run: subprocess.Popen, words: str) -> str:
    """What a command prints until it has printed some words."""
    output, end = "", time.monotonic() + PATIENCE_S
    while words not in output:
        line = run.stdout.readline()
        output += line
        if not line or time.monotonic() > end:
            os.killpg(run.pid, signal.SIGKILL)
            pytest.fail(f"never printed {words!r}:\n{output}", pytrace=False)
    return output


def test_every_link_of_the_readme_leads_somewhere():
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README)
    assert targets
    missing = [t for t in targets if "://" not in t and not (ROOT / t).exists()]
    assert not missing


def test_the_readme_links_every_lesson():
    lessons = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert not [name for name in lessons if f"](notebooks/{name})" not in README]


def test_a_clean_start_leaves_the_clone_clean(clone):
    """After all of the above, git sees nothing that a command wrote."""
    asked = ["git", "status", "--porcelain", "--ignored", "-uall", "--", "work", "site"]
    output = subprocess.run(asked, cwd=clone, capture_output=True, text=True).stdout
    assert all(line.startswith("!!") for line in output.splitlines())
