"""The clients of the HTTP benchmark: streams at once with bare sockets, and a health check.

Rule: the same for every server, and as light as can be; every answer has the tokens that were asked
for, of the prompt that was meant, or the benchmark ends.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from worker.api.chat import render_prompt

STREAMS = 32
REQUESTS = 3
"""Of each stream, one after the other."""
LENGTH = 80
"""Of each answer, in tokens."""
CHAT = "/v1/chat/completions"
BODY = {
    "model": "demo",
    "messages": [{"role": "user", "content": "Count to one hundred"}],
    "temperature": 0,
    "max_tokens": LENGTH,  # the whole answer is longer
    "stream": True,
    "stream_options": {"include_usage": True},
}


async def streams(port: int) -> int:
    return await at_once(lambda: stream(port))


async def at_once(request: Callable[[], Awaitable[int]]) -> int:
    """Tokens of all requests, which are all to be of the same length."""

    async def one_after_the_other() -> list[int]:
        return [await request() for _ in range(REQUESTS)]

    streams = await asyncio.gather(*(one_after_the_other() for _ in range(STREAMS)))
    made = [tokens for stream in streams for tokens in stream]
    assert set(made) == {LENGTH}
    return sum(made)


async def stream(port: int) -> int:
    """One request over HTTP; the number of its tokens, as the usage at its end says."""
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
    """The last count of that name, which is the usage's."""
    after = tail[tail.rindex(b'"' + name + b'":') :].partition(b":")[2]
    return int(after.split(b",")[0].strip(b" }"))


async def ping(port: int, seconds: list[float]) -> None:
    """How long a health check takes, twenty times a second, on a connection of its own."""
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
