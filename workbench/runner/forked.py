"""A kernel that the nursery forks, for jupyter_client."""

import json
import os
import signal
import socket
import sys
from importlib.metadata import EntryPoint
from typing import Any

from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from workbench.runner.nursery import ADDRESS

NAME = "workbench-forked"


class Fork:
    """A process of the nursery, with what is used of `subprocess.Popen`.

    Args:
        address: the nursery's socket.
        command: of the kernel: python, "-m", a module and its arguments.
        env: its environment.
        cwd: where it works.

    Attributes:
        cpu: processor seconds, once it has ended.

    Raises:
        OSError: the nursery does not answer.
    """

    stdin = stdout = stderr = None

    def __init__(self, address: str, command: list[str], env: dict, cwd: str):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)
        order = {"env": env, "cwd": cwd, "arguments": command[2:]}
        text = json.dumps(order).encode() + b"\n"
        sent = socket.send_fds(
            self._socket, [text], [sys.stdout.fileno(), sys.stderr.fileno()]
        )
        self._socket.sendall(text[sent:])
        self._answers = self._socket.makefile()
        answer = self._answers.readline()
        if not answer:
            raise ConnectionError("the nursery has ended")
        self.pid = int(answer)
        self.returncode: int | None = None
        self.cpu = 0.0

    def poll(self) -> int | None:
        """The exit status; None while it lives."""
        if self.returncode is None and _has_news(self._socket):
            self._end()
        return self.returncode

    def wait(self) -> int:
        """The exit status, when it has ended."""
        if self.returncode is None:
            self._end()
        return self.returncode or 0

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        line = self._answers.readline()
        # a nursery that died took its kernels along
        told = json.loads(line) if line else {"status": -signal.SIGKILL, "cpu": 0.0}
        self.returncode, self.cpu = told["status"], told["cpu"]


def _has_news(channel: socket.socket) -> bool:
    import select

    return bool(select.select([channel], [], [], 0)[0])


class Forked(LocalProvisioner):
    """Starts the kernel as a fork of the nursery; as usual if that does not answer."""

    forks: list[Fork] = []

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start it; see `LocalProvisioner.launch_kernel`."""
        cwd = str(kwargs.get("cwd") or os.getcwd())
        try:
            if cmd[1:3] != ["-m", "ipykernel_launcher"]:
                raise OSError("not the kernel that the nursery has")
            fork = Fork(os.environ[ADDRESS], cmd, dict(kwargs["env"]), cwd)
        except (OSError, KeyError):
            return await super().launch_kernel(cmd, **kwargs)
        self.forks.append(fork)
        self.process: Any = fork
        self.pid, self.pgid = fork.pid, os.getpgid(fork.pid)
        return self.connection_info


def install() -> None:
    """Let every kernel of this process be started so, if there is a nursery."""
    if ADDRESS in os.environ:
        factory = KernelProvisionerFactory.instance()
        where = f"{__name__}:Forked"
        factory.provisioners[NAME] = EntryPoint(NAME, where, factory.GROUP_NAME)
        factory.default_provisioner_name = NAME


def cpu_seconds() -> float:
    """Processor time of the kernels that were forked for this process."""
    return sum(fork.cpu for fork in Forked.forks)
