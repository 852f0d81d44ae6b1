"""A reply is read even when a send has consumed the signal that it came."""

import asyncio
import time
from queue import Empty

import pytest
import zmq
import zmq.asyncio
from jupyter_client.session import Session
from nbclient.client import NotebookClient
from nbformat.v4 import new_notebook

from workbench.runner import channel, execute


@pytest.fixture
def ends(tmp_path):
    """A channel of the client, and the kernel's end of it."""
    context = zmq.Context()
    kernel = context.socket(zmq.ROUTER)
    address = f"inproc://{tmp_path.name}"
    kernel.bind(address)
    client = zmq.asyncio.Context(context).socket(zmq.DEALER)
    client.identity = b"client"
    client.connect(address)
    yield channel.Channel(client, Session(key=b"key")), kernel
    client.close(0)
    kernel.close(0)
    context.term()


def reply(kernel: zmq.Socket) -> None:
    session = Session(key=b"key")
    session.send(kernel, session.msg("execute_reply"), ident=b"client")


def test_a_send_between_the_reply_and_its_reading_loses_nothing(ends):
    """The order of jupyter/nbclient#312: wait, reply, send of a widget, read."""
    shell, kernel = ends

    async def read() -> str:
        waiting = asyncio.ensure_future(shell.get_msg())
        await asyncio.sleep(0.05)  # the loop listens to the socket now
        reply(kernel)
        time.sleep(0.05)  # the signal lies there; the loop cannot look
        shell.send(shell.session.msg("comm_msg"))  # takes it away
        return (await asyncio.wait_for(waiting, 30))["msg_type"]

    assert asyncio.run(read()) == "execute_reply"


def test_nothing_in_time_is_told(ends):
    shell, _ = ends
    started = time.monotonic()
    with pytest.raises(Empty):
        asyncio.run(shell.get_msg(timeout=channel.LOOK_S + 0.2))
    assert time.monotonic() - started > channel.LOOK_S


def test_the_runner_uses_it(tmp_path):
    runner = NotebookClient(new_notebook(), config=execute.kernel_config(tmp_path))
    client = runner.create_kernel_manager().client()
    assert isinstance(client.shell_channel, channel.Channel)
    client.stop_channels()
