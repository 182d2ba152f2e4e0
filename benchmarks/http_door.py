"""Our HTTP door beside SGLang's own server and the bare engine: 32 streams of a chat, in one run.

Rule: each side has an engine of its own with the same model and arguments, and the other sides'
processes are stopped (SIGSTOP) while it is measured: idle schedulers spin. The sides take turns.
The client is one process with bare sockets, the same for both servers. What is compared is tokens
per second, the CPU of the process that serves HTTP, and how long /ping takes meanwhile.
Run: `python -m benchmarks.http_door [ROUNDS]`.
"""

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import uvloop

from benchmarks.added_cost import bare
from worker.engine import SglangEngine, server_args
from worker.models import resolve
from worker.settings import Settings

STREAMS = 32
CHAT = "/v1/chat/completions"
BODY = {
    "model": "demo",
    "messages": [{"role": "user", "content": "Count to one hundred"}],
    "temperature": 0,
    "max_tokens": 400,
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
    """What is measured: a process with its children, and how a round of it is made."""

    def __init__(self, name: str, pid: int, one: Callable[[], Awaitable[int]], port: int) -> None:
        self.name = name
        self.port = port
        self._process = psutil.Process(pid)
        self._one = one

    @contextmanager
    def awake(self) -> Iterator[None]:
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def _signal(self, number: int) -> None:
        family = self._process.children(recursive=True)
        for process in family + ([self._process] if self._process.pid != os.getpid() else []):
            process.send_signal(number)

    async def round(self) -> Figures:
        with self.awake():
            pings: list[float] = []
            pinging = asyncio.create_task(ping(self.port, pings))
            cpu, wall = self._cpu(), time.monotonic()
            tokens = sum(await asyncio.gather(*(self._one() for _ in range(STREAMS))))
            wall, cpu = time.monotonic() - wall, self._cpu() - cpu
            pinging.cancel()
            await asyncio.wait({pinging})
        p99 = statistics.quantiles(pings, n=100)[98] if len(pings) > 1 else 0.0
        return Figures(tokens / wall, cpu / tokens * 1e6, p99 * 1000)

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


async def stream(port: int) -> int:
    """One stream over HTTP; the number of its tokens, as the usage at its end says."""
    body = json.dumps(BODY).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    tail = b""
    while data := await reader.read(65536):
        tail = (tail + data)[-4096:]
    writer.close()
    usage = tail[tail.rindex(b'"completion_tokens":') :].partition(b":")[2]
    return int(usage.split(b",")[0].strip(b" }"))


async def ping(port: int, seconds: list[float]) -> None:
    """How long a health check takes, twenty times a second, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while port:
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


def start(arguments: list[str], port: int, path: str) -> subprocess.Popen[bytes]:
    """A server's process, once it answers a chat."""
    environment = {"MODEL": "demo", "PORT": str(port), "LOG_LEVEL": "error"}
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    import httpx

    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}{path}").status_code == 200:
                return process
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise TimeoutError(f"{arguments[0]} did not start")


def of_sglang(arguments: dict[str, Any]) -> Callable[[int], list[str]]:
    """SGLang's server at a port, with the very arguments of our engine."""
    words = ["sglang.launch_server", "--host", "127.0.0.1"]
    for name, value in arguments.items():
        if name != "custom_sigquit_handler" and value is not False:
            words.append("--" + name.replace("_", "-"))
            words += [] if value is True else [str(value)]
    return lambda port: [*words, "--port", str(port)]


async def main(rounds: int) -> None:
    settings = Settings(model="demo", log_level="error")
    model = resolve(settings)
    arguments = server_args(settings, model)
    servers: list[subprocess.Popen[bytes]] = []
    sides: list[Side] = []
    engine = SglangEngine(arguments)
    try:
        for name, words, path in (
            ("worker.serve", lambda _: ["worker.serve", "--host", "127.0.0.1"], "/ping"),
            ("sglang.launch_server", of_sglang(arguments), "/health_generate"),
        ):
            port = free_port()
            servers.append(await asyncio.to_thread(start, words(port), port, path))
            sides.append(Side(name, servers[-1].pid, lambda port=port: stream(port), port))
            sides[-1].stop()
        await engine.start()
        sides.insert(0, Side("bare engine", os.getpid(), lambda: bare(engine), 0))
        figures = [[await side.round() for side in sides] for _ in range(rounds + 1)][1:]
        report(sides, figures)
    finally:
        for server in servers:
            family = psutil.Process(server.pid).children(recursive=True)
            for process in [*family, server]:
                process.kill()
            server.wait()
        for child in psutil.Process().children(recursive=True):
            child.send_signal(signal.SIGCONT)  # what is stopped cannot be closed
        await engine.close()


def report(sides: list[Side], figures: list[list[Figures]]) -> None:
    print(f"{len(figures)} rounds of {STREAMS} streams, sides in turn; medians")
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
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
