"""A request's body as JSON, read within bounds.

Rule: whatever is sent, by whoever and however slowly, gives a JSON value or one clean error; what
is held of it never exceeds the limit.
"""

import asyncio
import json
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from worker import json_depth
from worker.errors import BadRequest, PayloadTooLarge, RequestTimeout

READ_SECONDS = 60.0
"""For the whole body."""
_BODY = "The request's body"

Json = Any  # A JSON value from outside.


async def read_json(request: Request, limit: int) -> Json:
    """The body's value; at most `limit` bytes. Raises BadRequest (400, 408 or 413), or
    ClientDisconnect."""
    await _still_there(request)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(READ_SECONDS):
            return parsed(await _read(request, limit))
    except TimeoutError:
        raise RequestTimeout("The request's body did not come in time.") from None


async def _still_there(request: Request) -> None:
    """Raises ClientDisconnect if the client had left before its turn came: a flood of requests
    that are dropped at once would keep those who wait."""
    await asyncio.sleep(0)  # what else has come on the connection, its end above all, is read
    if request.scope["extensions"]["connection"]["is_closing"]():
        raise ClientDisconnect


async def _read(request: Request, limit: int) -> bytearray:
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > limit:
            raise _too_large(limit)
    return data


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The request's body is larger than {limit / 2**20:g} MB.")


def parsed(data: bytes | bytearray) -> Json:
    """`data` as JSON by RFC 8259: UTF-8, no NaN. Unpaired surrogates in escapes are admitted:
    JavaScript clients send them where they cut a text."""
    try:
        value = json.loads(data.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise BadRequest("The request's body is not UTF-8.") from None
    except RecursionError:
        raise json_depth.too_deep(_BODY) from None
    except ValueError as error:
        raise BadRequest(f"The request's body is not JSON: {_reason(error)}.") from None
    json_depth.check(value, _BODY)
    return value


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.lower()} (line {error.lineno}, column {error.colno})"
    return "a number is too long or no number of JSON"


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
