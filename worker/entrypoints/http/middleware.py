"""Middleware for every HTTP request: request ID, authentication, rate limit and error handling.

Rules: without a valid key, only /ping and /health respond (and with API_DOCS=true, /docs); not
even the existence of a route is revealed. Errors have the format of the route's API, and are sent
with an HTTP status before the first byte, or as an event after it.
"""

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import ExitStack

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Router
from starlette.types import Message, Receive, Scope, Send

from worker.access_log import RequestLog
from worker.api.routes import route_for, unknown_route
from worker.entrypoints.http import status_routes
from worker.entrypoints.http.api_keys import ApiKeys
from worker.entrypoints.http.retry_after import RetryAfterEstimator
from worker.errors import (
    BadRequest,
    EngineOverloaded,
    MethodNotAllowed,
    NotReady,
    PayloadTooLarge,
    WorkerError,
    client_error,
)
from worker.job_metrics import JobMetrics
from worker.service import Exchange

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/ping", "/health"})
DISCARD_SECONDS = 1.0
"""How long to keep reading a rejected body: a client that is cut off never sees the error."""


class InFlightRequest:
    """One request and the state of its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = Headers(scope=scope)
        self.path: str = scope["path"]  # Starlette's `request.url` drops control characters
        query = scope.get("query_string", b"").decode("latin-1")
        self.route = route_for(self.path, query=query, method=scope["method"])
        self.exchange: Exchange | None = None
        """Set when the request has been read."""
        self.metrics = JobMetrics()
        self.owner = ""
        """Index of the request's API key; set after authentication."""
        self.id = _request_id(self.headers)
        self.status: int | None = None
        self.started = time.monotonic()
        self.release: Callable[[], None] | None = None
        """Stops counting the request towards its key's limit. Called before the last byte of the
        answer is sent, since the client may send its next request at once."""
        self._streams = False
        self._receive = receive
        self._send = send

    @classmethod
    def of(cls, scope: Scope) -> "InFlightRequest":
        """The in-flight request of a scope; only valid inside this middleware."""
        return scope["in_flight"]

    @property
    def label(self) -> str:
        """The request's metrics label. There are few labels, whatever clients send."""
        return self.path if self.path in status_routes.PATHS else self.route.label

    async def send(self, message: Message) -> None:
        """Forwards a message to the client, adding the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message["headers"] = list(message.get("headers", ()))
            self._streams = any(value.startswith(b"text/event-stream") for _, value in headers)
            spent = round((time.monotonic() - self.started) * 1000)
            headers.append((b"x-request-id", self.id.encode()))
            headers.append((b"openai-processing-ms", str(spent).encode()))
            if self.route.dialect.id_header is not None:
                headers.append((self.route.dialect.id_header.encode(), self.id.encode()))
        elif self.release is not None and not message.get("more_body"):
            self.release()
        await self._send(message)

    async def fail(self, error: WorkerError, headers: dict[str, str]) -> None:
        """Sends the error: as the response, or as an event if a stream has started."""
        if self.status is None:
            await self._send_status(error, headers)
        elif self._streams:
            event = self.route.dialect.event
            failed = self.exchange.failed(error) if self.exchange else ()
            body = "".join(map(event, failed)).encode()
            await self._send({"type": "http.response.body", "body": body})

    async def _send_status(self, error: WorkerError, headers: dict[str, str]) -> None:
        dialect = self.route.dialect
        content = dialect.identified(dialect.error(error), self.id)
        body = json.dumps(content, ensure_ascii=False).encode()
        body_unread = isinstance(error, PayloadTooLarge)
        if body_unread:
            headers |= {"connection": "close"}
        headers |= {"content-type": "application/json", "content-length": str(len(body))}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send(
            {"type": "http.response.start", "status": dialect.status(error), "headers": raw},
        )
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        if body_unread:
            await self._discard()
        await self._send({"type": "http.response.body"})

    async def _discard(self) -> None:
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                while (await self._receive()).get("more_body"):
                    pass
        except TimeoutError:
            log.debug("%s: the rest of the body was not read", self.id)


class RequestMiddleware:
    """ASGI middleware around a router."""

    def __init__(
        self,
        router: Router,
        keys: ApiKeys,
        retry_after: RetryAfterEstimator,
        note: Callable[[str, int], None],
        requests: RequestLog,
        *,
        open_paths: AbstractSet[str] = OPEN_PATHS,
    ) -> None:
        """`note` is called with the label and the status of every answered request; `open_paths`
        need no key."""
        self._router = router
        self._note = note
        self._keys = keys
        self._retry_after = retry_after
        self._requests = requests
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = scope["in_flight"] = InFlightRequest(scope, receive, send)
        # With an app in the scope, the router raises errors instead of answering in plain text.
        scope["app"] = self._router
        try:
            if call.path in self._open_paths:
                await self._router(scope, receive, call.send)
            else:
                await self._answer(call, scope, receive)
        except ClientDisconnect:
            log.debug("%s: the client disconnected", call.id)
        except Exception as error:  # noqa: BLE001 - all errors are handled here
            await call.fail(_client_error(error, call), self._headers(error))
        finally:
            if call.path not in status_routes.PATHS:
                self._requests.note(call.id, call.label, call.status, call.metrics, call.headers)
            if call.status is not None:
                self._note(call.label, call.status)

    async def _answer(self, call: InFlightRequest, scope: Scope, receive: Receive) -> None:
        key = self._keys.check(call.headers.get("authorization"), call.headers.get("x-api-key"))
        call.owner = str(key)
        with ExitStack() as place:
            place.enter_context(self._keys.running(key))
            call.release = place.close
            await self._router(scope, receive, call.send)

    def _headers(self, error: Exception) -> dict[str, str]:
        """Additional response headers for an error."""
        match error:
            case HTTPException(headers=headers):
                return dict(headers or {})
            case EngineOverloaded():
                return {"retry-after": str(self._retry_after.estimate())}
            case NotReady():
                return {"retry-after": str(error.retry_after)}
            case WorkerError(status=401):
                return {"www-authenticate": "Bearer"}
            case _:
                return {}


def _request_id(headers: Headers) -> str:
    """The client's request ID if it is safe to log, else a new one."""
    given = headers.get("x-request-id", "")
    return given if re.fullmatch(r"[\w.:-]{1,128}", given, re.ASCII) else new_request_id()


def new_request_id() -> str:
    return f"req_{secrets.token_hex(16)}"


def _client_error(error: Exception, call: InFlightRequest) -> WorkerError:
    """The error to show to the client."""
    match error:
        case HTTPException(status_code=404):
            return unknown_route(call.path)
        case HTTPException(status_code=405):
            return MethodNotAllowed(f"{call.path[:200]} does not support this method.")
        case HTTPException():
            return BadRequest(error.detail)
        case _:
            return client_error(error, call.id)
