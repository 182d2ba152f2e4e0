"""The HTTP server's life: listens while the engine boots, drains when told to stop, dies with it.

Rules: the engine lives on the loop that serves. SIGTERM and SIGINT end the server once what runs
has ended, bounded by DRAIN_SECONDS; a second one ends it at once. A dead engine ends the process.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from worker import fitness
from worker.engine import Health
from worker.entrypoints.http.app import HttpApi
from worker.entrypoints.http.protocol import BoundedProtocol
from worker.errors import ServerError
from worker.service import Service
from worker.settings import Settings

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 75
"""Of an idle connection: longer than proxies keep theirs, or they meet one that just closed."""
DEATH_SECONDS = 2.0
"""From an engine's death to the process's: clients read their error, the platform its 503."""


class Server(uvicorn.Server):
    """uvicorn's server, without its signals: it would end by raising them again."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    def stop(self) -> None:
        """Lets what runs end; called again, it does not."""
        self.force_exit = self.should_exit
        self.should_exit = True


def server_of(service: Service, settings: Settings) -> Server:
    """A server of one service; it starts to listen where its `serve` is told to."""
    return server_for(HttpApi(service, settings), settings.drain_seconds)


def server_for(app: ASGIApp, drain_seconds: int) -> Server:
    """A server of any application, within our bounds."""
    return Server(
        uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=drain_seconds,
        )
    )


async def serve(service: Service, settings: Settings, host: str) -> int:
    """Serves until the process is told to stop (0), or has nothing to serve with (1)."""
    try:
        listener = socket.create_server((host, settings.port), backlog=2048)
    except OSError as error:
        log.error("cannot listen on port %d: %s", settings.port, error.strerror)  # noqa: TRY400
        return 1
    server = server_of(service, settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    serving = asyncio.create_task(server.serve([listener]))
    living = asyncio.create_task(_live(service, settings))
    try:
        await asyncio.wait({serving, living}, return_when=asyncio.FIRST_COMPLETED)
        died = not serving.done()
        if died:
            await asyncio.sleep(DEATH_SECONDS)
            server.should_exit = True
        await serving
        return 1 if died else 0
    finally:
        living.cancel()
        await asyncio.wait({living})
        await service.engine.close()


async def _live(service: Service, settings: Settings) -> None:
    """Checks this machine and boots the engine; returns when it has died."""
    log.info("port %d is open", settings.port)
    try:
        await fitness.ready(service, settings)
    except ServerError as error:
        log.error("%s", error.message)  # noqa: TRY400 - the engine has logged the traceback
        return
    while service.engine.health() is not Health.DEAD:  # noqa: ASYNC110 - the port has no event for it
        await asyncio.sleep(0.25)
    log.error("the engine has died; ending")
