"""`workbench lab`: JupyterLab on working copies of the lessons."""

import os
import sys

from workbench.cli.common import project
from workbench.cli.notebooks import _build


def lab() -> None:
    """Open JupyterLab on notebooks/."""
    from workbench.runner import series

    root = project()
    _build(series.sources(root), root)
    command = [sys.executable, "-m", "jupyterlab", str(root / "notebooks")]
    os.execv(sys.executable, command)
