"""A queue worker's own port for those who watch it: METRICS_PORT serves /ping, /health, /metrics.

Rule: it never costs a job. A queue worker needs no port, so none is open unless it is asked for,
and one that cannot be opened is an error in the log, not the worker's end.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.routing import Router

from worker.engine import Engine
from worker.entrypoints.http import pages
from worker.entrypoints.http.guard import Guard
from worker.entrypoints.http.keys import Keys
from worker.entrypoints.http.pace import Pace
from worker.entrypoints.http.server import server_for
from worker.metrics import Telemetry
from worker.settings import Settings

log = logging.getLogger(__name__)


@asynccontextmanager
async def watched(engine: Engine, telemetry: Telemetry, settings: Settings) -> AsyncGenerator[None]:
    """While the pages are served, guarded by API_KEY as they are on the HTTP API."""
    listener = _listener(settings.metrics_port)
    if listener is None:
        yield
        return
    keys = Keys(settings.api_key, settings.max_requests_per_key)
    router = Router(pages.routes(engine, telemetry))

    def note(path: str, status: int) -> None:
        telemetry.note_request(path if path in pages.PATHS else "other", status)

    server = server_for(Guard(router, keys, Pace(), note), drain_seconds=1)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield
    finally:
        server.stop()
        await serving


def _listener(port: int | None) -> socket.socket | None:
    if port is None:
        return None
    try:
        return socket.create_server(("0.0.0.0", port))  # noqa: S104 - as the HTTP API listens
    except OSError as error:
        log.error("METRICS_PORT=%d: cannot listen: %s", port, error.strerror)  # noqa: TRY400
        return None
