"""What tests start on this machine: servers on loopback, and a headless Chromium."""

import functools
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from workbench.runner import lab_server

ROOT = Path(__file__).resolve().parents[1]
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


@contextmanager
def folder_served(folder: Path) -> Iterator[str]:
    """The address on loopback of a folder of files."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *told):
            pass

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Lab:
    """`workbench lab`, running in a clone.

    Args:
        clone: whose lessons it serves.
        home: an empty folder for Jupyter's settings and data.
        options: after `workbench lab`.
        token: what its API asks for.
    """

    def __init__(self, clone: Path, home: Path, *options: str, token: str = ""):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.token, self.log = token, home / "log"
        self.address = f"http://127.0.0.1:{self.port}"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("WORKBENCH_")}
        places = {
            f"JUPYTER_{kind.upper()}_DIR": str(home / kind)
            for kind in ("config", "data", "runtime")
        }
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workbench", "lab", *options, "--no-browser"]
                + [f"--port={self.port}", "--ServerApp.port_retries=0"]
                + [f"--IdentityProvider.token={token}"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                cwd=clone, env=clean | places | {"PYTHONPATH": path},
            )  # fmt: skip

    def ask(self, method: str, path: str, body: object = None):
        """A request of the server's API."""
        request = urllib.request.Request(
            f"{self.address}/api/{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def wait(self) -> None:
        """Wait until it answers and has printed where it is."""
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                self.ask("GET", "status")
            except OSError:
                time.sleep(0.2)
                continue
            if lab_server.HOW_TO_STOP in self.log.read_text():
                return
            time.sleep(0.2)
        pytest.fail(f"no JupyterLab:\n{self.log.read_text()[-3000:]}", pytrace=False)

    def kernels(self) -> list[psutil.Process]:
        """The processes below the server."""
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def lab_running(
    clone: Path, home: Path, *options: str, token: str = ""
) -> Iterator[Lab]:
    """`workbench lab` as in ``Lab``, ended afterwards whatever happened."""
    started, below = Lab(clone, home, *options, token=token), []
    try:
        started.wait()
        yield started
    finally:
        if started.process.poll() is None:
            below = started.kernels()
            started.process.kill()
        started.process.wait()
        for process in below:
            process.kill()
