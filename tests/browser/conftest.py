"""`workbench lab` on loopback and a page of Chromium that looks at it."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

import pytest

from tests.local import ROOT, lab_running

WHO = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]


@dataclass
class Watched:
    """A page, and what it asked for and complained about."""

    page: object
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Record every request and every console error from now on."""
        page = self.page
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(f"page: {error}"))
        page.on("console", self._console)

    def _console(self, message) -> None:
        if message.type == "error":
            where = message.location.get("url", "")
            self.complaints.append(f"{message.text} [{where}]")

    @property
    def elsewhere(self) -> list[str]:
        """Requests to any host but this one."""
        remote = [
            u for u in self.requests if urlparse(u).scheme not in {"data", "blob"}
        ]
        return [u for u in remote if urlparse(u).hostname != "127.0.0.1"]


def _clone(root: Path) -> None:
    """A clone of this project with nothing but its lessons, all committed."""
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    shutil.copy(ROOT / ".gitignore", root)
    for arguments in (["init", "-q"], ["add", "-A"], [*WHO, "commit", "-qm", "all"]):
        subprocess.run(["git", *arguments], cwd=root, check=True)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """`workbench lab` in a clone: its address and the folder that it serves."""
    home = tmp_path_factory.mktemp("lab")
    clone = home / "clone"
    _clone(clone)
    options = ("--ip=127.0.0.1", "--LabApp.expose_app_in_browser=True")
    with lab_running(clone, home, *options) as started:
        yield started.address, clone / "work"


@pytest.fixture(scope="module")
def watched(chrome) -> Watched:
    """A tall page in headless Chromium that records what it does."""
    # Tall, because JupyterLab draws only the cells in view.
    page = chrome.new_page(viewport={"width": 1300, "height": 2600})
    watched = Watched(page)
    watched.listen()
    return watched
