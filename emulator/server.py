"""The emulator as a running server: the application, its workers, its clock's tick.

Rule: leaving ends everything in order: the workers are told and every poll ends, so that they can
report what they have; then the connections.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from emulator import client_api, gateway, own_api, worker_api
from emulator.bells import Bells
from emulator.endpoint import Endpoint
from emulator.plane import Plane
from emulator.pool import Pool
from emulator.settings import Settings
from emulator.web import HANG_UP, error_reply
from emulator.webhooks import Webhooks

TICK_S = 0.2
KEEP_ALIVE_S = 120
"""No connection is dropped but by a fault."""
CLOSE_S = 1


class HangUpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, for applications that want to close a connection without a reply."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {HANG_UP: {"close": self.transport.close}}


class Server(uvicorn.Server):
    """A server that leaves the signals to its process."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def application(plane: Plane) -> Starlette:
    endpoint = [*worker_api.ROUTES, *client_api.ROUTES, *gateway.ROUTES]
    routes = [Mount(f"/v2/{plane.endpoint.name}", routes=endpoint), *own_api.ROUTES]
    app = Starlette(routes=routes, exception_handlers={HTTPException: error_reply})
    app.state.plane = plane
    return app


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[str]:
    """The emulator with its workers started; its URL."""
    bells, webhooks = Bells(), Webhooks()
    endpoint = Endpoint(ring=bells.ring, on_end=webhooks.send, ping_limit=settings.ping_limit)
    pool = Pool(endpoint, settings.worker_command, settings.ping_interval_ms)
    plane = Plane(endpoint, bells, pool, settings.poll_seconds)
    ticking = asyncio.create_task(_tick(endpoint))
    async with _listening(application(plane), settings) as url:
        pool.url = f"{url}/v2/{endpoint.name}"
        try:
            for _ in range(settings.workers):
                await pool.start()
            yield url
        finally:
            pool.terminate_all()
            bells.close()
            await pool.close()
            await webhooks.close()
            ticking.cancel()


@asynccontextmanager
async def _listening(app: Starlette, settings: Settings) -> AsyncGenerator[str]:
    listener = socket.create_server((settings.host, settings.port))
    config = uvicorn.Config(
        app,
        http=HangUpProtocol,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSE_S,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    host, port = listener.getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await serving


async def _tick(endpoint: Endpoint) -> None:
    while True:
        endpoint.tick()
        await asyncio.sleep(TICK_S)
