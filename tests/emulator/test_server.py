"""The emulator's server: what it writes is sent at once."""

import asyncio
import socket

import uvicorn
from starlette.applications import Starlette
from uvicorn.server import ServerState

from emulator.server import HangUpProtocol


def test_a_reply_does_not_wait_for_the_acknowledgement_of_its_head() -> None:
    """A worker's POST would take 40 ms longer than the latency asked for. The socket is made as the
    emulator makes it, not for TCP by name, so that asyncio does not see to it."""
    assert asyncio.run(sends_at_once())


async def sends_at_once() -> bool:
    """Whether the server's end of a new connection has TCP_NODELAY."""
    loop = asyncio.get_running_loop()
    connected: asyncio.Future[asyncio.Transport] = loop.create_future()

    class Protocol(HangUpProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            connected.set_result(transport)

    config = uvicorn.Config(Starlette(), lifespan="off")
    config.load()
    listener = socket.create_server(("127.0.0.1", 0))
    serving = await loop.create_server(lambda: Protocol(config, ServerState(), {}), sock=listener)
    async with serving:
        _, writer = await asyncio.open_connection(*listener.getsockname())
        connection = (await connected).get_extra_info("socket")
        writer.close()
        return bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
