"""Two processes that train together, forked from one that has imported everything."""

import json
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

from workbench.core import ending
from workbench.experiment.training import run_command
from workbench.loops.session import Session

HEAVY = ["torch", "transformers", "accelerate", "pandas", __name__]


def train(out: Path, *, held: int | None = None, **asked) -> list[int]:
    """Carry one training command out in two processes, as a launcher starts them.

    Args:
        out: its folder.
        held: the step before which both are told to end, by SIGTERM; None to go on.
        asked: of ``run_command``.

    Returns:
        how each process ended, its exit status.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = []
    for rank in ("0", "1"):
        rank_told = told | {"RANK": rank, "LOCAL_RANK": rank}
        job = (rank_told, out, held, asked)
        started.append(context.Process(target=_one, args=job))
        started[-1].start()
    if held is not None:
        waiting = [out.with_name(f"{out.name}.{rank}") for rank in ("0", "1")]
        while not all(file.exists() for file in waiting):
            assert all(one.is_alive() for one in started)
            time.sleep(0.02)
        for one in started:
            one.terminate()
    for one in started:
        one.join()
    return [one.exitcode for one in started]


def _one(told: dict[str, str], out: Path, held: int | None, asked: dict) -> None:
    """One of the two; it ends with the status of the ``workbench`` command."""
    os.environ |= told
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ending.raise_on_signals()
    real = Session.learn

    def learn(session, *parts):
        if session.at == held:
            out.with_name(f"{out.name}.{told['RANK']}").touch()
            signal.pause()
        return real(session, *parts)

    Session.learn = learn
    status = 0
    try:
        run_command(out=out, echo=lambda line: None, **asked)
    except KeyboardInterrupt:
        status = 130
    os._exit(ending.status(status) or 0)


def thumbs_file(path: Path) -> Path:
    """A file of 18 rated responses, every second one good."""
    rows = [
        {
            "prompt": f"Name {i}",
            "completion": "green cup" if i % 2 else "tea a tea",
            "label": bool(i % 2),
        }
        for i in range(18)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
