"""However a run ends, nothing of it goes on, and what was done is kept."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from workbench.core.claimed import claimed
from workbench.runner import family, series
from workbench.runner.job import Result
from workbench.runner.report import Progress

FIXTURES = Path(__file__).parent / "fixtures"
PATIENCE_S = 300  # only a broken test waits so long


def clone(tmp_path: Path, **lessons: str) -> Path:
    """A project of a few fixtures, `a01="hang"` for 01_hang."""
    folder = tmp_path / "notebooks" / "src"
    folder.mkdir(parents=True)
    for number, name in lessons.items():
        text = (FIXTURES / f"{name}.py").read_text()
        (folder / f"{number[1:]}_{name}.py").write_text(text)
    return tmp_path


def start(root: Path) -> subprocess.Popen:
    """`workbench run` on it."""
    command = [sys.executable, "-m", "workbench", "run", "--profile", "ci"]
    return subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def until(holds, what: str):
    """Wait for something that has to happen, however slow the machine."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.1)
    pytest.fail(f"never: {what}", pytrace=False)


def kin(run: subprocess.Popen) -> list[psutil.Process]:
    """The run's worker and its kernel, once both are there."""
    try:
        found = psutil.Process(run.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    named = [p for p in found if any("ipykernel" in part for part in p.cmdline())]
    return found if named else []


def job_folders(processes: list[psutil.Process]) -> set[Path]:
    marks = {p.environ().get(family.MARK) for p in processes}
    return {Path(mark) for mark in marks if mark}  # the nursery has none


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_signal_leaves_no_process_and_no_folder(name, tmp_path):
    run = start(clone(tmp_path, a01="hang"))
    processes = until(lambda: kin(run), "a kernel")
    folders = job_folders(processes)
    run.send_signal(getattr(signal, name))
    output, _ = run.communicate(timeout=PATIENCE_S)
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    assert not alive
    until(lambda: not any(f.exists() for f in folders), "temporary folders go")
    assert not [p for f in folders for p in family.members(f)]
    if name != "SIGKILL":
        assert run.returncode == 128 + getattr(signal, name), output
        assert "stopped: 0 of 1 notebooks are done and kept" in output


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_worker_that_is_killed_takes_its_kernel_along_and_the_series_goes_on(
    tmp_path,
):
    run = start(clone(tmp_path, a01="hang", a02="pass_plain"))
    processes = until(lambda: kin(run), "a kernel")
    hanging = [p for p in processes if "workbench.runner.execute" in p.cmdline()]
    hanging[0].kill()
    output, _ = run.communicate(timeout=PATIENCE_S)
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    assert not alive
    assert run.returncode == 1
    assert "2 executed, 0 unchanged, 1 failed" in output


def test_what_was_done_before_a_signal_is_not_done_again(tmp_path):
    root = clone(tmp_path, a01="pass_plain", a02="hang")
    run = start(root)
    while not run.stdout.readline().startswith("ok   01_pass_plain"):
        assert run.poll() is None
    until(lambda: kin(run), "a kernel")
    run.terminate()
    output, _ = run.communicate(timeout=PATIENCE_S)
    assert "stopped: 1 of 2 notebooks are done and kept" in output
    settings = series.Settings(root=root, profile="ci")
    [again] = series.run(series.select(root, ["1"]), settings)
    assert again.cached


def test_a_notebook_counts_before_its_line_is_shown(tmp_path, monkeypatch):
    """A signal may come as soon as the line is out: here it comes with it."""

    class Interrupted(Progress):
        def ended(self, result):
            raise KeyboardInterrupt

    root, counted = clone(tmp_path, a01="pass_plain"), []
    settings = series.Settings(root=root, profile="ci")
    [path] = series.sources(root)
    done = Result(path.stem, "ci", path, (), 1.0, (), cached=True)
    monkeypatch.setattr(series, "cached", lambda source, settings: done)
    with pytest.raises(KeyboardInterrupt):
        series.run([path], settings, progress=Interrupted(1), on_result=counted.append)
    assert counted == [done]


def test_a_process_that_left_the_session_ends_with_its_notebook(tmp_path):
    root = clone(tmp_path, a01="fail_daemon")
    settings = series.Settings(root=root, profile="ci")
    [result] = series.run(series.sources(root), settings)
    from workbench.runner import build

    text = build.load(result.executed).cells[-1].outputs[0].text
    left = int(text.split()[-1])
    assert not psutil.pid_exists(left) or not psutil.Process(left).is_running()


def test_a_second_runner_is_refused_in_a_sentence(tmp_path):
    root = clone(tmp_path, a01="pass_plain")
    with claimed(root / "build" / "ci"):
        run = start(root)
        output, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    assert "in use: another workbench process" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("name", ["fail_rmtree", "fail_claim_list"])
def test_what_one_notebook_does_does_not_end_the_series(name, tmp_path):
    root = clone(tmp_path, a01=name, a02="pass_plain")
    settings = series.Settings(root=root, profile="ci")
    first, second = series.run(series.sources(root), settings, jobs=1)
    assert second.passed, second.failures
    series.write_reports([first, second], settings)
    assert (settings.folder / "junit.xml").exists()


CONFLICT = "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> theirs\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CONFLICT, "holds the marks of a merge conflict"),
        ("", "is empty"),
        ('{"cells": [', "is no notebook"),
        ("[]", "is no notebook"),
        ("{}", "is no notebook"),
        ("null", "is no notebook"),
        ("\x00\x01", "is no notebook"),
    ],
)
def test_a_broken_committed_notebook_is_named_and_blocks_nothing(
    text, message, tmp_path
):
    root = clone(tmp_path, a01="pass_plain")
    broken = root / "notebooks" / "01_pass_plain.ipynb"
    broken.write_text(text)
    run = start(root)
    out, _ = run.communicate(timeout=PATIENCE_S)
    assert f"01_pass_plain.ipynb {message}" in out
    assert "1 executed, 0 unchanged, 0 failed" in out
    assert broken.read_text() == text


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A project whose one notebook has passed and left a table."""
    root = clone(tmp_path_factory.mktemp("cache"), a01="pass_table")
    settings = series.Settings(root=root, profile="ci")
    [result] = series.run(series.sources(root), settings)
    assert result.passed, result.failures
    return root


def _edit(path: Path, text: str):
    return lambda folder: (folder / path).write_text(text)


DAMAGES = {
    f"{name} of the {what}": _edit(Path(path), text)
    for what, path in (("record", ".records/01_pass_table.json"),
                       ("executed copy", "01_pass_table.ipynb"))
    for name, text in (("{}", "{}"), ("[]", "[]"), ("nothing", ""), ("null", "null"),
                       ("half", '{"key": '), ("a number", "3"))
} | {
    "a changed table": _edit(Path("01_pass_table/table.csv"), "x\n2\n"),
    "a deleted table": lambda folder: (folder / "01_pass_table/table.csv").unlink(),
    "another file": _edit(Path("01_pass_table/more.csv"), "x\n"),
    "no OUT": lambda folder: shutil.rmtree(folder / "01_pass_table"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_counts_as_none(damage, executed, tmp_path):
    from workbench.runner import build, cache

    root = tmp_path / "clone"
    shutil.copytree(executed, root)
    settings = series.Settings(root=root, profile="ci")
    [source] = map(build.read, series.sources(root))
    record = cache.record_of(source, settings)
    row = json.loads(record.read_text())
    record.write_text(json.dumps(row))
    assert cache.cached(source, settings), "without damage it is valid"
    DAMAGES[damage](settings.folder)
    assert cache.cached(source, settings) is None
