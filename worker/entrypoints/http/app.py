"""The routes of the HTTP API.

Rule: a route is a path, a method and one call to the service. `middleware.py` handles what all
requests share.
Source: https://platform.openai.com/docs/api-reference, and RunPod's health checks.
"""

from collections.abc import Generator
from contextlib import contextmanager

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.access_log import request_log
from worker.api.routes import PREFIX, ROUTES
from worker.engine import Health
from worker.entrypoints.http import status_routes
from worker.entrypoints.http.answer_response import AnswerResponse
from worker.entrypoints.http.api_docs import DOCS_PATHS, docs_routes
from worker.entrypoints.http.api_keys import ApiKeys
from worker.entrypoints.http.middleware import OPEN_PATHS, InFlightRequest, RequestMiddleware
from worker.entrypoints.http.request_body import read_json
from worker.entrypoints.http.retry_after import RetryAfterEstimator
from worker.errors import EngineDead, NotReady
from worker.job_metrics import JobMetrics
from worker.metrics import Telemetry
from worker.service import Service
from worker.settings import Settings


class HttpApi:
    """An ASGI application that serves one `Service`."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._telemetry = Telemetry(service.engine, service.boot_seconds)
        self._has_docs = settings.api_docs
        self._max_body = settings.max_body_mb * 2**20
        self._retry_after = RetryAfterEstimator()
        keys = ApiKeys(settings.api_key, settings.max_requests_per_key)
        self._app: ASGIApp = RequestMiddleware(
            Router(self._routes()),
            keys,
            self._retry_after,
            self._telemetry.note_request,
            request_log(settings, service.models[0]),
            open_paths=OPEN_PATHS | (DOCS_PATHS if settings.api_docs else set()),
        )
        if settings.cors_origins:
            self._app = CORSMiddleware(
                self._app,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["*"],
                expose_headers=[
                    "x-request-id",
                    "request-id",
                    "openai-processing-ms",
                    "retry-after",
                ],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def _routes(self) -> list[Route]:
        """One for each path, so that a 405 lists all of its methods."""
        methods: dict[str, list[str]] = {}
        for route in ROUTES:
            methods.setdefault(route.path, []).append(route.method)
        return [
            *status_routes.routes(self._service.engine, self._telemetry),
            *(docs_routes() if self._has_docs else ()),
            *(
                Route(prefix + path, self._answer, methods=taken)
                for prefix in ("", PREFIX)
                for path, taken in methods.items()
            ),
        ]

    async def _answer(self, request: Request) -> Response:
        self._check_ready()
        body = await read_json(request, self._max_body) if request.method == "POST" else None
        self._check_ready()  # receiving the body can take long
        in_flight = InFlightRequest.of(request.scope)
        metrics = in_flight.metrics
        in_flight.exchange = await self._service.read(in_flight.route, body, in_flight.owner)
        return AnswerResponse(in_flight.exchange, metrics, self._running(metrics))

    @contextmanager
    def _running(self, metrics: JobMetrics) -> Generator[None]:
        """Active while an answer is generated and sent."""
        try:
            with self._retry_after.running():
                yield
        finally:
            self._telemetry.note_job(metrics)

    def _check_ready(self) -> None:
        health = self._service.engine.health()
        if health is Health.STARTING:
            raise NotReady("The model is still loading; try again in a few seconds.")
        if health is Health.DEAD:
            raise EngineDead
