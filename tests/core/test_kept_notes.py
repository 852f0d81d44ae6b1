"""What other packages warn of is kept aside; what this one warns of is shown."""

import logging
import warnings
from pathlib import Path

import workbench
from workbench.core import notes

OURS = str(Path(workbench.__file__).parent / "core" / "kl.py")
THEIRS = "/lib/site-packages/elsewhere/deep/module.py"


def test_a_warning_is_shown_or_kept_by_where_it_comes_from(monkeypatch):
    shown = []
    monkeypatch.delenv(notes.FILE, raising=False)
    monkeypatch.setattr(warnings, "showwarning", lambda *args: shown.append(args[:3]))
    monkeypatch.setattr(logging, "lastResort", logging.lastResort)
    notes.listen()
    notes.listen()  # twice is once
    warnings.showwarning("ours is wrong", UserWarning, OURS, 7)
    warnings.showwarning("theirs is old", UserWarning, THEIRS, 8)
    assert shown == [("ours is wrong", UserWarning, OURS)]
    assert "elsewhere: UserWarning: theirs is old" in notes.kept()
    assert not any("ours is wrong" in one for one in notes.kept())
