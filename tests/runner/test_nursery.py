"""A kernel that the nursery forks is the kernel that python would have started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from workbench.runner import build, family, nursery, series

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")

TOLD = """\
# ---
# jupyter:
#   workbench:
#     title: What a kernel is
#     budget_s: {ci: 30, lecture: 30, figure: 30}
# ---

# %% tags=["parameters"]
PROFILE = "ci"

# %%
import os, sys

early = "torch" in sys.modules
print("early", early)

# %%
import random

import matplotlib
import numpy as np
import torch
from IPython import get_ipython

print(os.getcwd(), os.environ["IPYTHONDIR"] != "", sys.path[0], sys.argv[0][-30:])
print(matplotlib.get_backend(), torch.get_num_threads())
print(sorted(os.environ.keys() - {"WORKBENCH_NURSERY", "JPY_PARENT_PID"}))
print(get_ipython().__class__, sys.flags.hash_randomization, __name__)
print(os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid())

# %%
print(np.random.rand(), random.random(), float(torch.rand(())), os.getpid())
"""


def project(root: Path, count: int) -> series.Settings:
    """A project of notebooks that print what they find."""
    folder = root / "notebooks" / "src"
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:02d}_told.py").write_text(TOLD)
    return series.Settings(root=root, profile="ci")


def printed(result: series.Result) -> list[str]:
    """What each code cell printed."""
    assert result.passed, result.failures
    cells = [c for c in build.load(result.executed).cells if c.cell_type == "code"]
    return ["".join(o.text for o in c.outputs if "text" in o) for c in cells]


@pytest.fixture
def forked(monkeypatch):
    """A nursery from the first kernel on."""
    monkeypatch.setattr(nursery, "WORTH", 0)


def test_a_forked_kernel_finds_what_a_started_one_finds(tmp_path, monkeypatch):
    settings = project(tmp_path, 2)
    first, second = series.sources(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(nursery, "address_of", lambda *_: None)
        started = printed(series.run_one(first, settings))
    monkeypatch.setattr(nursery, "WORTH", 0)
    forked = printed(series.run_one(second, settings))
    assert started[-3] == "early False\n" and forked[-3] == "early True\n"
    assert started[-2] == forked[-2]


def test_two_forks_draw_other_numbers(tmp_path, forked):
    settings = project(tmp_path, 2)
    one, two = series.run(series.sources(tmp_path), settings)
    first, second = printed(one)[-1].split(), printed(two)[-1].split()
    assert all(a != b for a, b in zip(first, second, strict=True))


def test_processor_seconds_of_a_fork_are_counted(tmp_path, forked):
    settings = project(tmp_path, 1)
    text = TOLD + "\n# %%\nimport time\nwhile time.process_time() < 4.0:\n    pass\n"
    (source,) = series.sources(tmp_path)
    source.write_text(text)
    result = series.run_one(source, settings)
    assert result.passed and 4.0 <= result.cpu_seconds


def test_without_a_nursery_that_answers_a_kernel_starts_as_usual(tmp_path, monkeypatch):
    monkeypatch.setattr(nursery, "address_of", lambda *_: str(tmp_path / "nobody"))
    settings = project(tmp_path, 1)
    (source,) = series.sources(tmp_path)
    assert printed(series.run_one(source, settings))[-3] == "early False\n"


def test_a_nursery_that_dies_is_replaced(tmp_path, forked):
    settings = project(tmp_path, 2)
    first, second = series.sources(tmp_path)
    series.run_one(first, settings)
    old = nursery._open[-1]
    os.kill(old._process.pid, signal.SIGKILL)
    old._process.wait()
    assert printed(series.run_one(second, settings))[-3] == "early True\n"
    assert nursery._open[-1] is not old


def test_a_nursery_and_its_folder_end_with_the_program_that_opened_it():
    program = (
        "import os, sys, time\n"
        "from workbench.runner import nursery\n"
        "opened = nursery.Nursery(dict(os.environ), '/tmp')\n"
        "print(opened._process.pid, opened.address, flush=True)\n"
        "time.sleep(600)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    )
    number, address = run.stdout.readline().split()
    run.kill()
    run.communicate()
    psutil.wait_procs([psutil.Process(int(number))], timeout=300)
    end = time.monotonic() + 300
    while Path(address).parent.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not psutil.pid_exists(int(number)) and not Path(address).parent.exists()


def test_a_fork_is_found_among_the_processes_of_its_job(tmp_path, forked):
    settings = project(tmp_path, 1)
    (source,) = series.sources(tmp_path)
    source.write_text(
        TOLD
        + "\n# %%\nfrom pathlib import Path\n"
        + "from workbench.runner import family\n"
        + "own = [p.pid for p in family.members(Path(os.environ[family.MARK]))]\n"
        + "print(os.getpid() in own, len(own))\n"
        + "print([p.cmdline()[2] for p in family.members("
        + "Path(os.environ[family.MARK])) if p.pid == os.getpid()])\n"
    )
    last = printed(series.run_one(source, settings))[-1]
    assert last == "True 2\n['ipykernel_launcher']\n"
    assert not list(family.members(tmp_path))
