"""What surrounds every HTTP request: its id, its key, its place, and the boundary of its errors.

Rules: without a key, nothing but /ping and /health answers, not even which routes there are. What
leaves on an error is OpenAI's error object, as a status before the first byte, as an event after.
"""

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Router
from starlette.types import Message, Receive, Scope, Send

from worker.api.routes import route_for
from worker.entrypoints.http import pages
from worker.entrypoints.http.keys import Keys
from worker.entrypoints.http.pace import Pace
from worker.errors import (
    BadRequest,
    EngineOverloaded,
    MethodNotAllowed,
    NotFound,
    NotReady,
    PayloadTooLarge,
    TooManyRequests,
    WorkerError,
    visible,
)
from worker.service import Exchange

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/ping", "/health"})
DISCARD_SECONDS = 1.0
"""For how long a body that was refused is read on: a client that is cut off sees no answer."""


class InFlight:
    """One request and its response so far."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = Headers(scope=scope)
        self.path: str = scope["path"]  # Starlette's `request.url` drops control characters
        query = scope.get("query_string", b"").decode("latin-1")
        self.route = route_for(self.path, query=query, method=scope["method"])
        self.exchange: Exchange | None = None
        """Set when the request has been read."""
        self.owner = ""
        """Which of several keys the request came with; set when the key has been checked."""
        self.id = _request_id(self.headers)
        self.status: int | None = None
        self.started = time.monotonic()
        self._streams = False
        self._receive = receive
        self._send = send

    @classmethod
    def of(cls, scope: Scope) -> "InFlight":
        """The request that a scope belongs to, inside of the guard."""
        return scope["in_flight"]

    @property
    def label(self) -> str:
        """The path as it is counted: there are few, whatever clients send."""
        return self.path if self.path in pages.PATHS else self.route.label

    async def send(self, message: Message) -> None:
        """Sends on; the head gets OpenAI's headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message["headers"] = list(message.get("headers", ()))
            self._streams = any(value.startswith(b"text/event-stream") for _, value in headers)
            spent = round((time.monotonic() - self.started) * 1000)
            headers.append((b"x-request-id", self.id.encode()))
            headers.append((b"openai-processing-ms", str(spent).encode()))
        await self._send(message)

    async def fail(self, error: WorkerError, headers: dict[str, str]) -> None:
        """Sends the error, in whichever way is still open."""
        if self.status is None:
            await self._send_status(error, headers)
        elif self._streams:
            event = self.route.dialect.event
            failed = self.exchange.failed(error) if self.exchange else ()
            body = "".join(map(event, failed)).encode()
            await self._send({"type": "http.response.body", "body": body})

    async def _send_status(self, error: WorkerError, headers: dict[str, str]) -> None:
        body = json.dumps(self.route.dialect.error(error), ensure_ascii=False).encode()
        refused_unread = isinstance(error, PayloadTooLarge)
        if refused_unread:
            headers |= {"connection": "close"}
        headers |= {"content-type": "application/json", "content-length": str(len(body))}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send(
            {"type": "http.response.start", "status": error.status, "headers": raw},
        )
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        if refused_unread:
            await self._discard()
        await self._send({"type": "http.response.body"})

    async def _discard(self) -> None:
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                while (await self._receive()).get("more_body"):
                    pass
        except TimeoutError:
            log.debug("%s: the rest of the body is left unread", self.id)


class Guard:
    """ASGI middleware around a router."""

    def __init__(
        self, router: Router, keys: Keys, pace: Pace, note: Callable[[str, int], None]
    ) -> None:
        """`note` is told the label and the status of every request that was answered."""
        self._router = router
        self._note = note
        self._keys = keys
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = scope["in_flight"] = InFlight(scope, receive, send)
        scope["app"] = self._router  # has it raise what it would answer in plain text
        try:
            if call.path in OPEN_PATHS:
                await self._router(scope, receive, call.send)
            else:
                await self._answer(call, scope, receive)
        except ClientDisconnect:
            log.debug("%s: the client left", call.id)
        except Exception as error:  # noqa: BLE001 - the one boundary of a request
            await call.fail(_visible(error, call), self._headers(error))
        finally:
            spent = time.monotonic() - call.started
            log.debug("%s: %s %s in %.3f s", call.id, call.path, call.status, spent)
            if call.status is not None:
                self._note(call.label, call.status)

    async def _answer(self, call: InFlight, scope: Scope, receive: Receive) -> None:
        key = self._keys.check(call.headers.get("authorization"))
        call.owner = str(key)
        with self._keys.running(key):
            await self._router(scope, receive, call.send)

    def _headers(self, error: Exception) -> dict[str, str]:
        """What a client should know besides the error itself."""
        match error:
            case HTTPException(headers=headers):
                return dict(headers or {})
            case EngineOverloaded() | TooManyRequests():
                return {"retry-after": str(self._pace.retry_after())}
            case NotReady():
                return {"retry-after": str(error.seconds)}
            case WorkerError(status=401):
                return {"www-authenticate": "Bearer"}
            case _:
                return {}


def _request_id(headers: Headers) -> str:
    """The client's id of its request, if it has one that can be logged; else ours."""
    given = headers.get("x-request-id", "")
    return given if re.fullmatch(r"[\w.:-]{1,128}", given, re.ASCII) else new_request_id()


def new_request_id() -> str:
    return f"req_{secrets.token_hex(16)}"


def _visible(error: Exception, call: InFlight) -> WorkerError:
    """The error that the client may see."""
    match error:
        case HTTPException(status_code=404):
            return NotFound(f"Unknown route: {call.path[:200]!r}.", code="unknown_url")
        case HTTPException(status_code=405):
            return MethodNotAllowed(f"{call.path[:200]} does not take this method.")
        case HTTPException():
            return BadRequest(error.detail)
        case _:
            return visible(error, call.id)
