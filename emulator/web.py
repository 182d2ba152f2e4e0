"""HTTP as all of the emulator's APIs share it: JSON in and out, long polls, hanging up.

Rules: replies are ASCII JSON, so that whatever a worker sent can be passed on, unpaired surrogates
included. A wait ends when its client leaves: nothing is handed to a connection that is closed.
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

from emulator.bells import Bells
from emulator.job import Json

T = TypeVar("T")

HANG_UP = "emulator.hang_up"
"""The ASGI extension that closes a connection; the server in `server.py` offers it."""


def reply(value: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(value), status, headers, media_type="application/json")


def error_reply(_request: Request, error: Exception) -> Response:
    """An HTTPException as the platform's error body."""
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
    """JSON of any depth that this process can hold. Raises 400."""
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
    """No reply at all: the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send
        scope["extensions"][HANG_UP]["close"]()
        while (await receive())["type"] != "http.disconnect":
            continue


@asynccontextmanager
async def departure(request: Request) -> AsyncGenerator["asyncio.Task[None]"]:
    """A task that is done when the client has left. The request's body must have been read."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue

    task = asyncio.create_task(left())
    try:
        yield task
    finally:
        task.cancel()


async def held(
    request: Request, bells: Bells, look: Callable[[], T | None], topic: str, seconds: float
) -> T | None:
    """A long poll: what `look` finds, or None when the time is over or the client has left."""
    async with departure(request) as gone:
        found = asyncio.create_task(bells.until(look, topic, seconds))
        try:
            await asyncio.wait((found, gone), return_when=asyncio.FIRST_COMPLETED)
            return found.result() if found.done() else None
        finally:
            found.cancel()
