"""A client process: concurrent streams over HTTP, read to their ends.

It imports next to nothing, so that it starts at once, and takes what to do from its stdin.
`python -m benchmarks.stream_client`.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

Request = tuple[str, dict[str, Any]]
"""A path and a body."""

ENDS = (b"[DONE]", b"response.completed", b"message_stop")
"""The last events of the APIs' streams."""


async def read_streams(port: int, streams: int, each: int, requests: Sequence[Request]) -> None:
    """Lets another process read so many streams at the same time, each of which makes `each` of the
    requests in turn."""
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.stream_client", stdin=asyncio.subprocess.PIPE
    )
    await client.communicate(json.dumps([port, streams, each, requests]).encode())
    assert client.returncode == 0


async def main(port: int, streams: int, each: int, requests: Sequence[Request]) -> None:
    async def stream() -> None:
        for path, body in islice(cycle(requests), each):
            await read(port, path, body)

    await asyncio.gather(*(stream() for _ in range(streams)))


async def read(port: int, path: str, body: dict[str, Any]) -> None:
    """One request. Raises AssertionError if it fails, or if its stream has no end."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + content)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:1000]
    assert any(end in answer for end in ENDS), answer[-1000:]


if __name__ == "__main__":
    asyncio.run(main(*json.load(sys.stdin)))
