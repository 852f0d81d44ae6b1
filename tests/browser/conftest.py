"""`workbench lab` on loopback and a headless Chromium that looks at it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# Without these Chromium looks up its maker's hosts at every start.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WHO = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
LAB = """-m workbench lab --no-browser --ip=127.0.0.1 --ServerApp.port_retries=0
--IdentityProvider.token= --LabApp.expose_app_in_browser=True""".split()


def chromium() -> str:
    """The browser's path; its absence is a failure, never a skip."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.fail(
            "no Chromium on PATH: the browser tests need one "
            "(Debian: apt-get install chromium)",
            pytrace=False,
        )
    return found


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(url: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.25)
        else:
            return
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}", pytrace=False)


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
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WORKBENCH_")}
    places = {
        f"JUPYTER_{kind}_DIR": str(home / kind.lower())
        for kind in ("CONFIG", "DATA", "RUNTIME")
    }
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    port = _free_port()
    log = home / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, *LAB, f"--port={port}"],
            env=clean | places | {"PYTHONPATH": path},
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=clone,
        )
        try:
            _wait(f"http://127.0.0.1:{port}/api", server, log)
            yield f"http://127.0.0.1:{port}", clone / "work"
        finally:
            server.terminate()
            server.wait(timeout=60)


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """A tall page in headless Chromium that records what it does."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        # Tall, because JupyterLab draws only the cells in view.
        page = browser.new_page(viewport={"width": 1300, "height": 2600})
        watched = Watched(page)
        watched.listen()
        yield watched
        browser.close()
