"""Every kind of failure, each by a notebook that the runner must fail."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from workbench.runner import build, report, series, speed

FIXTURES = Path(__file__).parent / "fixtures"


def execute(name: str, tmp_path: Path, **settings) -> series.Result:
    return series.run_one(
        FIXTURES / f"{name}.py",
        series.Settings(root=tmp_path, profile="ci", **settings),
    )


@pytest.mark.parametrize(
    ("name", "kind", "cell", "words"),
    [
        ("fail_exit", "error", 3, "SystemExit"),
        ("fail_interact", "widget error", None, "the callback is broken"),
        ("fail_dead_kernel", "dead kernel", 3, "Kernel died"),
        ("fail_stderr", "stderr", 3, "the reference is trained, too"),
        ("fail_size", "too large", None, "largest: cell 3"),
        ("fail_claim", "missed claim", 3, "chosen-falls (contradicted)"),
    ],
)
def test_a_notebook_fails(name, kind, cell, words, tmp_path):
    result = execute(name, tmp_path)
    assert not result.passed
    first = result.failures[0]
    assert (first.kind, first.cell) == (kind, cell), result.failures
    assert words in first.message
    assert result.executed.exists()


def test_a_notebook_is_slow_and_not_wrong(tmp_path):
    assert execute("fail_budget", tmp_path).passed


def test_where_budgets_are_enforced_the_processor_counts_and_not_the_clock(tmp_path):
    hurried = speed.Speed(cpu=1e-3)
    result = execute("fail_budget", tmp_path, enforce=True, speed=hurried)
    assert [failure.kind for failure in result.failures] == ["over budget"]
    patient = speed.Speed(cpu=1e3)
    assert execute("fail_budget", tmp_path, enforce=True, speed=patient).passed


def test_a_silent_notebook_is_stopped_and_its_cell_is_named(tmp_path):
    result = execute("fail_timeout", tmp_path, start=12.0, patience=1.0)
    assert [failure.kind for failure in result.failures] == ["stuck"]
    assert result.failures[0].cell == 4
    assert "time.sleep(600)" in result.failures[0].detail
    partial = build.load(result.executed)
    text = partial.cells[3].outputs[0].text
    assert "this cell runs" in text
    assert not psutil.pid_exists(int(text.split()[-1])), "the kernel is still alive"


def test_a_notebook_that_goes_on_printing_is_not_stopped(tmp_path):
    result = execute("pass_chatty", tmp_path, start=4.0, patience=1.0)
    assert result.passed, result.failures
    assert result.seconds > 9, "it ran for longer than a silence may last"


def test_a_notebook_that_holds_too_much_memory_is_stopped(tmp_path):
    result = execute("fail_memory", tmp_path, memory_gb=1.0)
    assert [failure.kind for failure in result.failures] == ["memory"]
    assert result.failures[0].cell == 3


def test_what_other_packages_say_is_told_and_not_shown(tmp_path):
    result = execute("pass_foreign_warnings", tmp_path)
    assert result.passed, result.failures
    text = " ".join(result.notes)
    for words in ("an old keyword", "a slow kernel", "a package's advice"):
        assert words in text
    for cell in build.load(result.executed).cells:
        assert not [o for o in cell.get("outputs", ()) if o.get("name") == "stderr"]
    assert "an old keyword" in report.notes_text([result])
    assert report.notes_text([result, result]).count("an old keyword") == 1


def test_an_unknown_parameter_fails(tmp_path):
    result = execute("pass_plain", tmp_path, parameters={"STEPS_": 3})
    assert [failure.kind for failure in result.failures] == ["unknown parameter"]
    assert "STEPS_" in result.failures[0].message


def test_an_intended_error_passes_and_leaves_no_banner(tmp_path):
    result = execute("pass_intended_error", tmp_path)
    assert result.passed, result.failures
    executed = build.load(result.executed)
    assert len(executed.cells) == 5, "four of its own and the injected parameters"
    assert "the lesson goes on" in executed.cells[-1].outputs[0].text


def test_the_command_tells_one_failure_runs_the_others_and_exits_with_1(tmp_path):
    source = tmp_path / "notebooks" / "src"
    source.mkdir(parents=True)
    for name in ("fail_error", "pass_plain"):
        number = "01" if name == "fail_error" else "02"
        text = (FIXTURES / f"{name}.py").read_text()
        (source / f"{number}_{name}.py").write_text(text)
    call = [sys.executable, "-m", "workbench.cli", "run", "--profile", "ci"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "FAIL 01_fail_error" in done.stdout
    assert "broken = half / 0" in done.stdout
    assert "ZeroDivisionError: float division by zero" in done.stdout
    assert "\x1b" not in done.stdout
    assert "ok   02_pass_plain" in done.stdout
    assert "2 executed, 0 unchanged, 1 failed" in done.stdout

    folder = tmp_path / "build" / "ci"
    broken = build.load(folder / "01_fail_error.ipynb")
    assert broken.cells[-1].execution_count is None
    plain = build.load(folder / "02_pass_plain.ipynb")
    assert "profile ci total 6" in plain.cells[3].outputs[0].text
    suite = ElementTree.parse(folder / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    seconds = (folder / "seconds.csv").read_text().splitlines()
    assert seconds[0] == "notebook,cell,seconds"
    assert sum(line.startswith("02_pass_plain,") for line in seconds) == 5

    again = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 1
    assert "1 executed, 1 unchanged, 1 failed" in again.stdout
