"""Runs the emulator: the application, its workers, and the endpoint's periodic tick.

Rule: shutdown is orderly. First the workers get SIGTERM and all polls end, so that the workers can
still report their results; then the connections are closed.
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

from emulator import account_api, admin_api, client_api, gateway, worker_api
from emulator.account import Account
from emulator.app_state import AppState
from emulator.endpoint import Endpoint
from emulator.notifier import Notifier
from emulator.pool import Pool
from emulator.settings import Settings
from emulator.web import HANG_UP, error_reply
from emulator.webhooks import Webhooks

TICK_S = 0.2
KEEP_ALIVE_S = 120
"""Long, so that only a fault ever drops a connection."""
CLOSE_S = 1


class HangUpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, plus an extension that closes the connection without a reply.

    It sends what it writes at once. asyncio sees to that only if a socket was made for TCP by name
    (`proto`), which `socket.create_server` does not do: then the kernel would keep a reply's body
    until the client has acknowledged its head, which takes 40 ms.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {HANG_UP: {"close": self.transport.close}}


class Server(uvicorn.Server):
    """A server that installs no signal handlers: its process does."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def application(state: AppState) -> Starlette:
    endpoint = [*worker_api.ROUTES, *client_api.ROUTES, *gateway.ROUTES]
    routes = [Mount(f"/v2/{state.endpoint.name}", routes=endpoint), *account_api.ROUTES]
    routes += admin_api.ROUTES
    app = Starlette(routes=routes, exception_handlers={HTTPException: error_reply})
    app.state.emulator = state
    return app


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[str]:
    """Runs the emulator with its workers started. Yields its URL."""
    notifier, webhooks = Notifier(), Webhooks()
    endpoint = Endpoint(
        notify=notifier.notify, on_end=webhooks.send, ping_limit=settings.ping_limit
    )
    pool = Pool(endpoint, settings.worker_command, settings.ping_interval_ms)
    account = Account(settings.account_key)
    state = AppState(endpoint, account, notifier, pool, settings.poll_seconds)
    ticking = asyncio.create_task(_tick(endpoint))
    async with _listening(application(state), settings) as url:
        pool.url = f"{url}/v2/{endpoint.name}"
        try:
            for _ in range(settings.workers):
                await pool.start()
            yield url
        finally:
            pool.terminate_all()
            notifier.close()
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
