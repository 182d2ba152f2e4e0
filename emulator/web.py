"""HTTP helpers of all of the emulator's APIs: JSON in and out, long polls, hanging up.

Rules: replies are ASCII JSON, so that whatever a worker sent can be forwarded, unpaired surrogates
included. A long poll ends when its client disconnects: no job is delivered to a closed connection.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from emulator.job import Json
from emulator.notifier import Notifier

T = TypeVar("T")

HANG_UP = "emulator.hang_up"
"""The ASGI extension that closes the connection; provided by `server.py`."""


def reply(value: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(value), status, headers, media_type="application/json")


def error_reply(_request: Request, error: Exception) -> Response:
    """An HTTPException as an error body of the platform: `{"error": …}`."""
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette's handlers are typed for any
    return reply({"error": error.detail}, error.status_code, error.headers)


async def read(request: Request, limit: int) -> bytes:
    """The request's body. Raises 413 if it is larger than `limit` bytes."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise HTTPException(413, f"The request is larger than {limit} bytes.")
    return bytes(body)


def parse(body: bytes) -> Json:
    """JSON, nested up to this process's recursion limit. Raises 400."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"The body is not JSON ({type(error).__name__}).") from error


def parse_object(body: bytes) -> dict[str, Json]:
    """A JSON object. Raises 400."""
    value = parse(body)
    if not isinstance(value, dict):
        raise HTTPException(400, "The body must be a JSON object.")
    return value


class HangUp(Response):
    """Closes the connection without a reply."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        scope["extensions"][HANG_UP]["close"]()
        while (await receive())["type"] != "http.disconnect":
            continue


@asynccontextmanager
async def disconnection(request: Request) -> AsyncGenerator["asyncio.Task[None]"]:
    """A task that is done when the client disconnects. The request's body must have been read."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue

    task = asyncio.create_task(disconnected())
    try:
        yield task
    finally:
        task.cancel()


async def long_poll(
    request: Request, notifier: Notifier, check: Callable[[], T | None], topic: str, seconds: float
) -> T | None:
    """Waits as `Notifier.wait_until` does; None after `seconds` or if the client disconnects."""
    async with disconnection(request) as disconnected:
        found = asyncio.create_task(notifier.wait_until(check, topic, seconds))
        try:
            await asyncio.wait((found, disconnected), return_when=asyncio.FIRST_COMPLETED)
            return found.result() if found.done() else None
        finally:
            found.cancel()
