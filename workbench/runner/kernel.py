"""What a kernel of the runner does before its first cell (IPython's startup file)."""

from pathlib import Path

STARTUP = """\
from workbench.core.notes import listen as _listen
from workbench.runner.kernel import end_with_parent as _end_with_parent

_listen()
_end_with_parent()
del _listen, _end_with_parent
"""


def prepare(folder: Path) -> None:
    """Write the startup file of an IPython folder.

    Args:
        folder: what IPYTHONDIR will be.
    """
    startup = folder / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "00-workbench.py").write_text(STARTUP, encoding="utf-8")


def end_with_parent() -> None:
    """Let Linux kill this process when its parent dies, whatever it is doing then.

    Elsewhere ipykernel's own watch on the parent has to do; a cell that never lets
    go of the interpreter escapes it.
    """
    import ctypes
    import signal
    import sys

    if sys.platform == "linux":
        set_pdeathsig = 1
        ctypes.CDLL(None).prctl(set_pdeathsig, signal.SIGKILL)
