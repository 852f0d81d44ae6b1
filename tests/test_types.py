"""The library agrees with its annotations: basedpyright in its basic mode, no error.

What is checked, and how strictly, stands in pyproject.toml, ``[tool.basedpyright]``.
Where another package declares something wrong, the line gets
``# pyright: ignore[rule]`` and a comment that says what is wrong there.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["basedpyright"]


def checked(project: Path) -> tuple[int, list[str]]:
    """Number of files that were read, and a line for each error in them."""
    command = [sys.executable, "-m", "basedpyright", "--outputjson"]
    command += ["--pythonpath", sys.executable, "--project", str(project)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"no report: {done.stdout}{done.stderr}") from None
    errors = [
        f"{one['file']}:{one['range']['start']['line'] + 1}: "
        f"{one['message']} ({one.get('rule', 'no rule')})"
        for one in told["generalDiagnostics"]
    ]
    assert bool(errors) == (done.returncode != 0), done.stderr
    return told["summary"]["filesAnalyzed"], errors


def test_the_library_has_no_type_error():
    files, errors = checked(ROOT / "pyproject.toml")
    assert not errors, "\n" + "\n".join(errors)
    read = [p for place in SETTINGS["include"] for p in (ROOT / place).rglob("*.py")]
    assert files == len(read) > 100


def test_the_check_can_fail(tmp_path):
    """The same settings refuse a file that promises a number and returns a word."""
    settings = json.dumps(SETTINGS | {"include": ["."]})
    (tmp_path / "pyrightconfig.json").write_text(settings)
    (tmp_path / "wrong.py").write_text('def number() -> int:\n    return "one"\n')
    files, [error] = checked(tmp_path / "pyrightconfig.json")
    assert files == 1
    assert "wrong.py:2: " in error and error.endswith("(reportReturnType)")
