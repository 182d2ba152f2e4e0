"""Reads a request body as JSON, with limits on its size and duration.

Rule: any input, however slow, results in a JSON value or an error, and never more than the limit is
buffered.
"""

import asyncio
import json
from typing import NoReturn

from starlette.requests import ClientDisconnect, Request

from worker import json_depth
from worker.entrypoints.http.protocol import ClientConnection
from worker.errors import BadRequest, PayloadTooLarge, RequestTimeout
from worker.json_depth import Json

READ_TIMEOUT_SECONDS = 60.0
"""Time limit for the whole body."""
_BODY = "The request body"


async def read_json(request: Request, limit: int) -> Json:
    """Reads and parses a body of at most `limit` bytes.

    Raises BadRequest (400, 408 or 413), or ClientDisconnect.
    """
    await _check_connected(request)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            return parse_json(await _read(request, limit))
    except TimeoutError:
        raise RequestTimeout(
            f"The request body was not received within {READ_TIMEOUT_SECONDS:g} seconds."
        ) from None


async def _check_connected(request: Request) -> None:
    """Raises ClientDisconnect if the client has disconnected already.

    Otherwise, a flood of abandoned requests would delay the others.
    """
    await asyncio.sleep(0)  # lets the event loop read the connection, and notice its end
    if ClientConnection.of(request.scope).is_closing:
        raise ClientDisconnect


async def _read(request: Request, limit: int) -> bytearray:
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > limit:
            raise _too_large(limit)
    return data


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The request body must not be larger than {limit / 2**20:g} MB.")


def parse_json(data: bytes | bytearray) -> Json:
    """Parses JSON as in RFC 8259: UTF-8, without NaN. Raises BadRequest.

    Escaped unpaired surrogates are accepted, because JavaScript clients send them when they
    truncate a text.
    """
    try:
        value = json.loads(data.decode(), parse_constant=_reject_constant)
    except UnicodeDecodeError:
        raise BadRequest("The request body is not UTF-8.") from None
    except RecursionError:
        raise json_depth.too_deep(_BODY) from None
    except ValueError as error:
        raise BadRequest(f"The request body is not JSON: {_reason(error)}.") from None
    json_depth.check(value, _BODY)
    return value


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.lower()} (line {error.lineno}, column {error.colno})"
    return "a number is too long or not valid JSON"


def _reject_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
