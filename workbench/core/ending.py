"""How a program of ours ends when told to: by Ctrl-C, SIGTERM or a closed terminal.

Each of them raises in the main thread, so that every ``finally`` runs: processes are
ended, temporary folders go, what was done is kept.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

STOPPING = ("SIGTERM", "SIGHUP")


class Stopped(KeyboardInterrupt):
    """The process was asked to end by a signal other than Ctrl-C.

    Attributes:
        signum: the signal's number; the exit status is 128 more.
    """

    def __init__(self, signum: int):
        self.signum = signum
        super().__init__(signal.Signals(signum).name)


_received: list[int] = []  # a list, because libraries replace the exception


def raise_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does.

    A signal that the parent had switched off (``nohup``) stays off. A second one while
    the first is being dealt with changes nothing.
    """

    def stop(signum: int, frame: object) -> None:
        for name in _known():
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        _received.append(signum)
        raise Stopped(signum)

    for name in _known():
        number = getattr(signal, name)
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def status(otherwise: int | None) -> int | None:
    """The exit status of this process: 128 and the signal, if one has ended it.

    Args:
        otherwise: the status if no signal has come.
    """
    return 128 + _received[0] if _received else otherwise


def die_with_parent(parent: int, then: Callable[[], None]) -> None:
    """Call ``then`` in a thread of its own when the parent process is gone, and end.

    Args:
        parent: the parent's process number, as the parent knows it.
        then: what has to be cleaned up; it must not need the main thread.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        try:
            then()
        finally:
            os._exit(128 + int(signal.SIGTERM))

    threading.Thread(target=watch, daemon=True, name="parent").start()


def say(text: str) -> None:
    """Print to stderr, where the terminal may be gone already."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        pass


def _known() -> list[str]:
    """The signals of STOPPING that this platform has."""
    return [name for name in STOPPING if hasattr(signal, name)]
