"""Kernels that have torch and transformers before they start: forks of one process.

Importing the two takes five seconds of processor time, half of a short notebook at the
ci profile. `python -m workbench.runner.nursery SOCKET` imports them once, without
starting a thread, and forks a kernel for each worker that asks; `forked.py` asks. It
ends when its standard input is closed, so with the program that started it, and its
kernels end with it (`kernel.end_with_parent`). Linux only: elsewhere, and whenever the
nursery does not answer, a kernel starts as usual.
"""

import atexit
import gc
import importlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ADDRESS = "WORKBENCH_NURSERY"  # names the socket to the workers
# None of these starts a thread; pandas would (by pyarrow).
EARLY = ("torch", "transformers.models.llama.modeling_llama", "ipykernel.ipkernel")
LOOK_S = 0.1  # between looks for kernels that have ended


class Nursery:
    """A nursery of this program.

    Args:
        environment: of the nursery's process.
        place: folder for the socket, with a short path.

    Attributes:
        address: of its socket, for `ADDRESS`.
    """

    def __init__(self, environment: dict[str, str], place: str | None):
        self._folder = Path(tempfile.mkdtemp(prefix="wb-", dir=place))
        self.address = str(self._folder / "n")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, self.address],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        atexit.register(self.close)

    def lives(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it and its kernels."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


WORTH = 3  # kernels of one program, before which a nursery only costs time
_open: list[Nursery] = []
_wanted = 0


def want(kernels: int) -> None:
    """Tell how many more kernels this program is going to start."""
    global _wanted
    _wanted += kernels


def address_of(environment: dict[str, str], place: str | None) -> str | None:
    """The socket of this program's nursery, which is started if there is none.

    Args:
        environment: of its process.
        place: folder for the socket, with a short path.

    Returns:
        The address; None where there are no nurseries, or too few kernels for one.
    """
    if sys.platform != "linux" or _wanted < WORTH:
        return None
    if not _open or not _open[-1].lives():
        _open.append(Nursery(environment, place))
    return _open[-1].address


def read_region(first: str) -> tuple[int, int]:
    """Where Linux keeps the words that `ps` shows of this process: (start, end).

    Args:
        first: "arguments" or "environment".

    Raises:
        OSError: this kernel does not tell.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    at = {"arguments": 45, "environment": 47}[first]  # fields 48 and 50 of proc(5)
    start, end = int(fields[at]), int(fields[at + 1])
    if end - start < 64:
        raise OSError("the process's own memory is not told")
    return start, end


def rename(first: str, words: list[str]) -> None:
    """Let `ps`, and `family.members`, see other words of this process.

    Args:
        first: "arguments" or "environment".
        words: what is written there, as much of it as there is room for.
    """
    import ctypes

    start, end = read_region(first)
    text = b"".join(os.fsencode(word) + b"\0" for word in words)[: end - start - 1]
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


def serve(address: str) -> dict | None:
    """Fork a kernel for each that asks, until standard input is closed.

    Returns:
        In a fork: the order, with `env`, `cwd` and `arguments`. In the nursery: None.
    """
    asked = socket.socket(socket.AF_UNIX)
    asked.bind(address)
    asked.listen(64)
    for module in EARLY:
        importlib.import_module(module)
    gc.freeze()  # so that a fork's collections do not copy what it shares
    living: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([asked, 0], [], [], LOOK_S if living else None)
        if 0 in ready and not os.read(0, 1):
            return None
        if asked in ready:
            client, _ = asked.accept()
            order, files = _receive(client)
            if order and not (child := os.fork()):
                return _enter(order, files, client)
            for file in files:
                os.close(file)
            if order:
                living[child] = client
        _bury(living)


def _receive(client: socket.socket) -> tuple[dict | None, list[int]]:
    """An order, and the standard output and error it came with."""
    text, files, _, _ = socket.recv_fds(client, 1 << 20, 2)
    while text and not text.endswith(b"\n"):
        more = client.recv(1 << 20)
        if not more:
            break
        text += more
    return (json.loads(text) if text.endswith(b"\n") else None), files


def _enter(order: dict, files: list[int], client: socket.socket) -> dict:
    """Turn a fork into the process that the order describes."""
    os.setsid()
    for number, file in enumerate([os.open(os.devnull, os.O_RDONLY), *files]):
        os.dup2(file, number)
        os.close(file)
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(order["env"])
    first = order["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*filter(None, first), *(p for p in sys.path if p not in before)]
    rename("environment", [f"{k}={v}" for k, v in _marked_first(order["env"])])
    rename("arguments", [sys.executable, "-m", *order["arguments"]])
    os.chdir(order["cwd"])
    # alive, and a leader of its own group: whoever asked may go on
    client.sendall(b"%d\n" % os.getpid())
    client.close()
    return order


def _marked_first(env: dict[str, str]) -> list[tuple[str, str]]:
    from workbench.runner.family import MARK

    return sorted(env.items(), key=lambda item: item[0] != MARK)


def _bury(living: dict[int, socket.socket]) -> None:
    """Tell of each kernel that has ended how it did, and what it used."""
    for child in list(living):
        ended, status, used = os.wait4(child, os.WNOHANG)
        if not ended:
            continue
        cpu = used.ru_utime + used.ru_stime
        told = {"status": os.waitstatus_to_exitcode(status), "cpu": cpu}
        try:
            living[child].sendall(json.dumps(told).encode() + b"\n")
        except OSError:
            pass  # who asked has gone
        living.pop(child).close()


def _kernel(order: dict) -> None:
    """What `python -m ipykernel_launcher` does."""
    from importlib.util import find_spec

    import numpy as np
    import torch
    from ipykernel import kernelapp

    np.random.seed()  # both are seeded at their import, once for all forks
    torch.seed()
    module, *arguments = order["arguments"]
    # ipykernel reads its parent's number from the environment when it is imported
    arguments.append(f"--IPKernelApp.parent_handle={os.getppid()}")
    sys.argv = [str(find_spec(module).origin), *arguments]
    kernelapp.launch_new_instance()


if __name__ == "__main__":
    del sys.path[0]  # the working directory, which is no place to import from
    read_region("environment")
    if order := serve(sys.argv[1]):
        _kernel(order)
    else:  # the program may have been killed
        shutil.rmtree(Path(sys.argv[1]).parent, ignore_errors=True)
