"""A queue worker's monitoring port: serves /ping, /health and /metrics on METRICS_PORT.

Rule: it never affects jobs. A queue worker needs no port, so none is opened unless METRICS_PORT is
set, and a port that cannot be opened is only logged as an error.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.routing import Router

from worker.access_log import RequestLog
from worker.engine import Engine
from worker.entrypoints.http import status_routes
from worker.entrypoints.http.api_keys import ApiKeys
from worker.entrypoints.http.middleware import RequestMiddleware
from worker.entrypoints.http.retry_after import RetryAfterEstimator
from worker.entrypoints.http.server import create_asgi_server
from worker.metrics import Telemetry
from worker.settings import Settings

log = logging.getLogger(__name__)


@asynccontextmanager
async def serve_monitoring(
    engine: Engine, telemetry: Telemetry, settings: Settings
) -> AsyncGenerator[None]:
    """Serves the monitoring routes while active, protected by API_KEY as on the HTTP API."""
    listener = _listener(settings.metrics_port)
    if listener is None:
        yield
        return
    keys = ApiKeys(settings.api_key, settings.max_requests_per_key)
    router = Router(status_routes.routes(engine, telemetry))

    def note(path: str, status: int) -> None:
        telemetry.note_request(path if path in status_routes.PATHS else "other", status)

    server = create_asgi_server(
        RequestMiddleware(router, keys, RetryAfterEstimator(), note, RequestLog()),
        drain_seconds=1,
    )
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
