"""Our HTTP door beside SGLang's own server and the bare engine: 32 streams of a chat, in one run.

Rule: each side is a process of its own, whose engine has the same model and arguments and is asked
for as many tokens; the others are stopped (SIGSTOP) while it is measured: idle
schedulers spin. The sides take turns. The client is this process, with bare sockets, the same for
both servers. What is compared is tokens per second, the CPU of the process that serves (or reads
the bare engine's output), and how long /ping takes meanwhile.
Run: `python -m benchmarks.http_door [ROUNDS]`.
"""

import asyncio
import json
import os
import signal
import socket
import statistics
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import uvloop

from benchmarks.added_cost import bare
from worker.engine import SglangEngine, server_args
from worker.models import resolve
from worker.settings import Settings

STREAMS = 32
REQUESTS = 3
"""Of each stream, one after the other."""
CHAT = "/v1/chat/completions"
BODY = {
    "model": "demo",
    "messages": [{"role": "user", "content": "Count to one hundred"}],
    "temperature": 0,
    "max_tokens": 80,  # what either server's prompt is answered with is longer
    "stream": True,
    "stream_options": {"include_usage": True},
}
ROOT = Path(__file__).parent.parent


class Figures(NamedTuple):
    """Of one round of streams: tokens per second, CPU µs per token, /ping's p99 in ms."""

    speed: float
    cpu_us: float
    ping_ms: float


class Side:
    """What is measured: a process with its children, and how it makes a round of streams."""

    def __init__(
        self, name: str, process: Process, streams: Callable[[], Awaitable[int]], port: int = 0
    ) -> None:
        self.name = name
        self.process = process
        self._port = port
        self._streams = streams
        self._seen = psutil.Process(process.pid)

    def signal(self, number: int) -> None:
        for each in [*self._seen.children(recursive=True), self._seen]:
            each.send_signal(number)

    async def round(self) -> Figures:
        self.signal(signal.SIGCONT)
        pings: list[float] = []
        pinging = asyncio.create_task(ping(self._port, pings))
        cpu, wall = self._cpu(), time.monotonic()
        tokens = await self._streams()
        wall, cpu = time.monotonic() - wall, self._cpu() - cpu
        pinging.cancel()
        await asyncio.wait({pinging})
        self.signal(signal.SIGSTOP)
        p99 = statistics.quantiles(pings, n=100)[98] if len(pings) > 1 else 0.0
        return Figures(tokens / wall, cpu / tokens * 1e6, p99 * 1000)

    def _cpu(self) -> float:
        times = self._seen.cpu_times()
        return times.user + times.system


async def streams(port: int) -> int:
    return await at_once(lambda: stream(port))


async def at_once(request: Callable[[], Awaitable[int]]) -> int:
    """Tokens of all requests, which are all to be of the same length."""

    async def one_after_the_other() -> list[int]:
        return [await request() for _ in range(REQUESTS)]

    streams = await asyncio.gather(*(one_after_the_other() for _ in range(STREAMS)))
    made = [tokens for stream in streams for tokens in stream]
    assert set(made) == {BODY["max_tokens"]}
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
    usage = tail[tail.rindex(b'"completion_tokens":') :].partition(b":")[2]
    return int(usage.split(b",")[0].strip(b" }"))


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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def start(name: str, *words: str, **more: str) -> Process:
    environment = {"MODEL": "demo", "LOG_LEVEL": "error", **more}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", name, *words),
        cwd=ROOT,
        env=os.environ | environment,
        stdin=PIPE,
        stdout=PIPE if name == __spec__.name else DEVNULL,
    )


async def server(name: str, path: str, port: int, *words: str) -> Side:
    """A server on a port, once it answers at `path`."""
    process = await start(name, *words, PORT=str(port))
    async with asyncio.timeout(300), httpx.AsyncClient() as client:
        while True:
            with suppress(httpx.TransportError):
                if (await client.get(f"http://127.0.0.1:{port}{path}")).status_code == 200:
                    return Side(name, process, lambda: streams(port), port)
            await asyncio.sleep(0.5)


async def our_side(arguments: dict[str, Any]) -> Side:  # noqa: ARG001 - it makes them itself
    return await server("worker.serve", "/ping", free_port(), "--host", "127.0.0.1")


async def sglang_side(arguments: dict[str, Any]) -> Side:
    port = free_port()
    words = ["--port", str(port), *as_words(arguments)]
    return await server("sglang.launch_server", "/health_generate", port, *words)


async def bare_side(arguments: dict[str, Any]) -> Side:  # noqa: ARG001 - it makes them itself
    """The bare engine in a process of its own: a line in is a round, a line out its tokens."""
    process = await start(__spec__.name, "bare")
    assert process.stdin
    assert process.stdout
    to, by = process.stdin, process.stdout

    async def round_of_streams() -> int:
        to.write(b"\n")
        return int(await by.readline())

    await by.readline()  # it has started
    return Side("bare engine", process, round_of_streams)


async def be_bare(arguments: dict[str, Any]) -> None:
    engine = SglangEngine(arguments)
    await engine.start()
    print(flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(await at_once(lambda: bare(engine, BODY)), flush=True)


def as_words(arguments: dict[str, Any]) -> list[str]:
    """Our engine's very arguments, as SGLang's server takes them."""
    words = ["--host", "127.0.0.1"]
    for name, value in arguments.items():
        if name != "custom_sigquit_handler" and value is not False:
            words.append("--" + name.replace("_", "-"))
            words += [] if value is True else [str(value)]
    return words


async def main(arguments: dict[str, Any], rounds: int) -> None:
    sides: list[Side] = []
    try:
        for start_side in (bare_side, our_side, sglang_side):
            sides.append(await start_side(arguments))
            sides[-1].signal(signal.SIGSTOP)
        figures = [[await side.round() for side in sides] for _ in range(rounds + 1)][1:]
        report(sides, figures)  # the first round warmed up
    finally:
        for side in sides:
            side.signal(signal.SIGKILL)
            await side.process.wait()


def report(sides: list[Side], figures: list[list[Figures]]) -> None:
    print(
        f"{len(figures)} rounds of {STREAMS} streams of {REQUESTS} requests, sides in turn; medians"
    )
    print("| | tokens/s | CPU of the serving process, µs per token | /ping p99, ms |")
    print("| --- | --- | --- | --- |")
    for side, of_side in zip(sides, zip(*figures, strict=True), strict=True):
        speed, cpu, pings = (statistics.median(column) for column in zip(*of_side, strict=True))
        print(f"| {side.name} | {speed:.0f} | {cpu:.0f} | {pings:.1f} |")
    speeds = [
        (door.speed / bare.speed, door.speed / sglang.speed) for bare, door, sglang in figures
    ]
    cpus = [door.cpu_us / sglang.cpu_us for _, door, sglang in figures]
    to_bare, to_sglang = (statistics.median(column) for column in zip(*speeds, strict=True))
    print(
        f"speed: {to_bare:.3f} of the bare engine's (must: 0.95 or more), "
        f"{to_sglang:.3f} of sglang.launch_server's (must: 1 or more)"
    )
    print(f"CPU per token: {statistics.median(cpus):.3f} of sglang.launch_server's (must: 0.7)")


if __name__ == "__main__":
    settings = Settings(model="demo", log_level="error")
    of_engine = server_args(settings, resolve(settings))
    if sys.argv[1:] == ["bare"]:
        uvloop.run(be_bare(of_engine))
    else:
        uvloop.run(main(of_engine, int(sys.argv[1]) if len(sys.argv) > 1 else 5))
