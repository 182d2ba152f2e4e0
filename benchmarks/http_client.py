"""The clients of the HTTP benchmark: concurrent streams over raw sockets, and a health check.

Rule: the same for every server, and as light as possible. If an answer does not have the requested
number of tokens, or the expected prompt length, the benchmark aborts.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from worker.api.chat import render_prompt

STREAMS = 32
REQUESTS = 3
"""Sequential requests of each stream."""
LENGTH = 80
"""Tokens of each answer."""
CHAT = "/v1/chat/completions"
BODY = {
    "model": "demo",
    "messages": [{"role": "user", "content": "Count to one hundred"}],
    "temperature": 0,
    "max_tokens": LENGTH,  # the full answer is longer
    "stream": True,
    "stream_options": {"include_usage": True},
}


async def streams(port: int) -> int:
    return await at_once(lambda: stream(port))


async def at_once(request: Callable[[], Awaitable[int]]) -> int:
    """The tokens of all requests. Raises AssertionError if one is not of `LENGTH` tokens."""

    async def sequentially() -> list[int]:
        return [await request() for _ in range(REQUESTS)]

    streams = await asyncio.gather(*(sequentially() for _ in range(STREAMS)))
    made = [tokens for stream in streams for tokens in stream]
    assert set(made) == {LENGTH}
    return sum(made)


async def stream(port: int) -> int:
    """One request over HTTP. Returns its completion tokens, from the usage at its end."""
    body = json.dumps(BODY).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    tail = b""
    while data := await reader.read(65536):
        tail = (tail + data)[-4096:]
    writer.close()
    assert b"[DONE]" in tail
    assert _count(tail, b"prompt_tokens") == len(render_prompt(BODY))
    return _count(tail, b"completion_tokens")


def _count(tail: bytes, name: bytes) -> int:
    """The last count with that name, which is that of the usage."""
    after = tail[tail.rindex(b'"' + name + b'":') :].partition(b":")[2]
    return int(after.split(b",")[0].strip(b" }"))


async def ping(port: int, seconds: list[float]) -> None:
    """Measures a health check twenty times a second, on its own connection, until cancelled."""
    if not port:
        return
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            started = time.monotonic()
            writer.write(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            seconds.append(time.monotonic() - started)
            await asyncio.sleep(0.05)
    finally:
        writer.close()
