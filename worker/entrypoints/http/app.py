"""The routes of the HTTP API.

Rule: a route is its path, its method and one call of the service; what every request has in common
is the guard's. Source: https://platform.openai.com/docs/api-reference, and RunPod's health checks.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.api.routes import MODELS, NOT_YET, PREFIX, ROUTES, label
from worker.engine import Health
from worker.entrypoints.http import pages
from worker.entrypoints.http.guard import Guard
from worker.entrypoints.http.keys import Keys
from worker.entrypoints.http.pace import Pace
from worker.entrypoints.http.request_body import read_json
from worker.entrypoints.http.sending import Sending
from worker.errors import EngineDead, NotReady
from worker.job_metrics import JobMetrics
from worker.metrics import Telemetry
from worker.service import Service
from worker.settings import Settings

_POSTS = (*ROUTES, *NOT_YET)
_GETS = (MODELS, f"{MODELS}/{{name:path}}")


class HttpApi:
    """An ASGI application that answers with one service."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._telemetry = Telemetry(service.engine)
        self._max_body = settings.max_body_mb * 2**20
        self._pace = Pace()
        keys = Keys(settings.api_key, settings.max_requests_per_key)
        self._app: ASGIApp = Guard(Router(self._routes()), keys, self._pace, self._note)
        if settings.cors_origins:
            self._app = CORSMiddleware(
                self._app,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=["x-request-id", "openai-processing-ms", "retry-after"],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def _routes(self) -> list[Route]:
        prefixes = ("", PREFIX)
        return [
            *pages.routes(self._service.engine, self._telemetry),
            *(Route(p + path, self._post, methods=["POST"]) for p in prefixes for path in _POSTS),
            *(Route(p + path, self._get) for p in prefixes for path in _GETS),
        ]

    def _note(self, path: str, status: int) -> None:
        """A request at `path` was answered. Only known routes are told apart."""
        self._telemetry.note_request(path if path in pages.PATHS else label(path), status)

    async def _get(self, request: Request) -> Response:
        return await self._answer(request, None)

    async def _post(self, request: Request) -> Response:
        self._check_ready()
        return await self._answer(request, await read_json(request, self._max_body))

    async def _answer(self, request: Request, body: Any) -> Response:
        self._check_ready()
        metrics = JobMetrics()
        route = request.scope["path"]  # `request.url` is without control characters
        exchange = self._service.read(route, body)
        return Sending(exchange, metrics, self._running(metrics))

    @contextmanager
    def _running(self, metrics: JobMetrics) -> Generator[None]:
        """While an answer is made and sent."""
        try:
            with self._pace.running():
                yield
        finally:
            self._telemetry.note_job(metrics)

    def _check_ready(self) -> None:
        health = self._service.engine.health()
        if health is Health.STARTING:
            raise NotReady("The model is still being loaded; try again soon.")
        if health is Health.DEAD:
            raise EngineDead("The engine has died; this worker is ending.")
