"""Monitoring routes: /ping, /health and /metrics.

They are the same on the HTTP API and on a queue worker's separate port (METRICS_PORT).
Source: RunPod's health checks of load-balancing endpoints.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker import metrics
from worker.engine import Engine, Health
from worker.metrics import Telemetry

PATHS = ("/ping", "/health", "/metrics")


def routes(engine: Engine, telemetry: Telemetry) -> list[Route]:
    """A route for each of `PATHS`."""

    async def ping(_request: Request) -> Response:
        """For RunPod's load balancer: 200 means healthy, 204 initializing, all else unhealthy."""
        status = {Health.READY: 200, Health.STARTING: 204, Health.DEAD: 503}
        return Response(status_code=status[engine.health()])

    async def health(_request: Request) -> Response:
        state = engine.health()
        return JSONResponse({"status": state.value}, 200 if state is Health.READY else 503)

    async def prometheus(_request: Request) -> Response:
        return Response(telemetry.text(), media_type=metrics.CONTENT_TYPE)

    handlers = (ping, health, prometheus)
    return [Route(path, handler) for path, handler in zip(PATHS, handlers, strict=True)]
