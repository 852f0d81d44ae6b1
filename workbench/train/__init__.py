"""``workbench train``: one method on a world or a preference file, seed by seed."""

from workbench.train.command import run_command
from workbench.train.settings import sizes

__all__ = ["run_command", "sizes"]
