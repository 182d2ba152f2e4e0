"""The HTTP server's lifecycle: it listens while the engine starts, and drains before it stops.

Rules: the engine runs on the server's event loop. On SIGTERM or SIGINT, the server stops once the
running requests have ended, or after DRAIN_SECONDS; a second signal stops it at once. The process
ends if the engine dies.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from worker.boot import boot
from worker.engine import Health
from worker.entrypoints.http.app import HttpApi
from worker.entrypoints.http.protocol import BoundedProtocol
from worker.errors import ServerError
from worker.service import Service
from worker.settings import Settings, SettingsError

log = logging.getLogger(__name__)

IDLE_TIMEOUT_SECONDS = 75
"""Idle connection timeout. Longer than that of proxies, which could otherwise send a request on a
connection that is just being closed."""
ENGINE_DEATH_GRACE_SECONDS = 2.0
"""Delay between the engine's death and process exit, so that clients receive their errors and
RunPod's health check sees the 503."""


class Server(uvicorn.Server):
    """uvicorn's server without its signal handling, which re-raises signals at the end."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    def stop(self) -> None:
        """Stops after the running requests have ended; if called again, stops at once."""
        running = len(self.server_state.tasks)
        now = "stopping at once" if self.should_exit else "draining"
        log.info("%s: %d requests are running", now, running)
        self.force_exit = self.should_exit
        self.should_exit = True


def create_server(service: Service, settings: Settings) -> Server:
    """Creates a server for one service. It listens on the sockets passed to its `serve`."""
    return create_asgi_server(HttpApi(service, settings), settings.drain_seconds)


def create_asgi_server(app: ASGIApp, drain_seconds: int) -> Server:
    """Creates a server for any application, with our limits."""
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
            timeout_keep_alive=IDLE_TIMEOUT_SECONDS,
            timeout_graceful_shutdown=drain_seconds,
        )
    )


async def serve(service: Service, settings: Settings, host: str) -> int:
    """Serves until a stop is requested; returns the exit status: 0, 1 on a failure, 2 on a setting
    that turns out to be wrong."""
    try:
        listener = socket.create_server((host, settings.port), backlog=2048)
    except OSError as error:
        log.error("cannot listen on port %d: %s", settings.port, error.strerror)  # noqa: TRY400
        return 1
    server = create_server(service, settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    serving = asyncio.create_task(server.serve([listener]))
    engine_task = asyncio.create_task(_run_engine(service, settings))
    try:
        await asyncio.wait({serving, engine_task}, return_when=asyncio.FIRST_COMPLETED)
        died = not serving.done()
        if died:
            await asyncio.sleep(ENGINE_DEATH_GRACE_SECONDS)
            server.should_exit = True
        await serving
        return engine_task.result() if died else 0
    finally:
        engine_task.cancel()
        await asyncio.wait({engine_task})
        await service.engine.close()
        log.info("stopped")


async def _run_engine(service: Service, settings: Settings) -> int:
    """Boots; returns the exit status if that fails, or when the engine dies."""
    log.info("listening on port %d", settings.port)
    try:
        await boot(service, settings)
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 - it is the user's
        return 2
    except ServerError as error:
        log.error("%s", error.message)  # noqa: TRY400 - the engine has logged the traceback
        return 1
    while service.engine.health() is not Health.DEAD:  # noqa: ASYNC110 - the engine interface has no event for it
        await asyncio.sleep(0.25)
    log.error("the engine has died; shutting down")
    return 1
