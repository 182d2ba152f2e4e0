"""The pages that watch a worker: /ping, /health and /metrics.

Rule: they say the same whoever serves them, the HTTP API beside its routes, or a queue worker on a
port of its own (METRICS_PORT). Source: RunPod's health checks of load-balancing endpoints.
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
        """RunPod's load balancer: 200 healthy, 204 initialising, else unhealthy."""
        status = {Health.READY: 200, Health.STARTING: 204, Health.DEAD: 503}
        return Response(status_code=status[engine.health()])

    async def health(_request: Request) -> Response:
        state = engine.health()
        return JSONResponse({"status": state.value}, 200 if state is Health.READY else 503)

    async def figures(_request: Request) -> Response:
        return Response(telemetry.text(), media_type=metrics.CONTENT_TYPE)

    pages = (ping, health, figures)
    return [Route(path, page) for path, page in zip(PATHS, pages, strict=True)]
