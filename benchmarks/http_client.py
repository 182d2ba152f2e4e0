"""The client of the HTTP benchmark: concurrent streams over raw sockets, and a health check.

Rule: the same for every server, and as light as possible, since it takes CPU from the server. An
answer that is not whole, or whose prompt has another length than ours, ends the benchmark.
"""

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

CHAT = "/v1/chat/completions"
TEXT = re.compile(rb'"content": ?"[^"]')
"""Text in a chunk; SGLang's first chunk has an empty text."""
TAIL_BYTES = 4096
PING_SECONDS = 0.05


class Received(NamedTuple):
    """One answer: seconds from the request to the first text, seconds between two reads after it,
    and its token counts."""

    ttft: float
    gaps: Sequence[float]
    prompt_tokens: int
    completion_tokens: int


class Reading:
    """An answer that is being read. `sent`: when it was asked for; times are in seconds."""

    def __init__(self, sent: float) -> None:
        self._sent = sent
        self._times: list[float] = []
        self._tail = b""

    def take(self, data: bytes, at: float) -> None:
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        if self._times or TEXT.search(self._tail):
            self._times.append(at)

    def received(self) -> Received:
        """Once all is read. Raises ValueError if it is not a whole answer."""
        if b"[DONE]" not in self._tail or not self._times:
            raise ValueError(f"not a whole answer: {self._tail.decode(errors='replace')}")
        times = self._times
        gaps = [later - at for at, later in pairwise(times)]
        return Received(
            times[0] - self._sent,
            gaps,
            self._count(b"prompt_tokens"),
            self._count(b"completion_tokens"),
        )

    def _count(self, name: bytes) -> int:
        """The last count with that name, which is that of the usage at the end."""
        return int(re.findall(b'"' + name + rb'": ?(\d+)', self._tail)[-1])


async def stream(port: int, body: Mapping[str, Any]) -> Received:
    """One request, on a connection of its own. Raises ValueError."""
    content = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    reading = Reading(time.monotonic())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + content)
        while data := await reader.read(65536):
            reading.take(data, time.monotonic())
    finally:
        writer.close()
    return reading.received()


async def ping(port: int, path: str, seconds: list[float]) -> None:
    """Measures a health check twenty times a second, on its own connection, until cancelled.

    Raises ValueError if its status is not 200.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            started = time.monotonic()
            writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            seconds.append(time.monotonic() - started)
            if not head.startswith(b"HTTP/1.1 200"):
                raise ValueError(f"{path}: {head.decode()}")
            if length := re.search(rb"(?i)content-length: (\d+)", head):
                await reader.readexactly(int(length[1]))
            await asyncio.sleep(PING_SECONDS)
    finally:
        writer.close()
