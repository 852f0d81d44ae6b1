"""A kernel client that cannot sleep through an answer.

nbclient answers an output widget while it waits for the reply of the cell. That send
goes around pyzmq's asyncio socket (`jupyter_client.session.Session.send` takes a plain
shadow of it) and may consume the one signal that a reply has arrived: the kernel is
done, the reply can be read, and nobody looks (jupyter/nbclient#312). About one cell in
a hundred with a widget that prints was lost so on two busy processors.
"""

import time
from queue import Empty
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from traitlets import Type

LOOK_S = 0.5  # a lost signal costs at most this; a look costs microseconds


class Channel(AsyncZMQSocketChannel):
    """A channel that looks again by itself."""

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:
        """The next message.

        Args:
            timeout: seconds to wait for it; None waits for ever.

        Raises:
            Empty: none came in that time.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LOOK_S if end is None else min(LOOK_S, end - time.monotonic())
            if await self.socket.poll(max(0, round(1000 * left))):
                return await self._recv()
            if end is not None and time.monotonic() >= end:
                raise Empty


class Client(AsyncKernelClient):
    """jupyter_client's client with such a channel for replies."""

    shell_channel_class = Type(Channel)
