"""Our HTTP server compared with SGLang's own and with the bare engine: 32 concurrent chat streams.

Rule: every side generates the same tokens from the same prompt ids, with the same model and engine
arguments. The bare engine runs in the same process as our server. SGLang's server, set up for
gpt-oss (its parsers; a chat template that renders our prompt), is another process. The process that
is not being measured is stopped (SIGSTOP), because idle schedulers spin. The sides alternate, and
reboot after a few rounds, because the same engine is some percent faster or slower from boot to
boot. The client is this process, with raw sockets, the same for both servers. Compared are tokens
per second, the CPU time of the process that serves (or reads the bare engine's output), and the
latency of /ping under this load.
Run: `python -m benchmarks.http_throughput [BOOTS]`.
"""

import asyncio
import os
import signal
import socket
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import uvloop

from benchmarks.bare_engine import bare
from benchmarks.http_client import BODY, STREAMS, at_once, ping, streams
from worker.api.chat import render_prompt
from worker.engine import Health, SglangEngine, server_args
from worker.entrypoints.http.server import serve
from worker.harmony.vocabulary import encoding
from worker.model import resolve
from worker.service import Service
from worker.settings import Settings

ROOT = Path(__file__).parent.parent
ROUNDS = 3
"""Rounds per boot."""
NAMES = "bare engine", "worker.serve", "sglang.launch_server"


class Measurement(NamedTuple):
    """One round of streams: tokens per second, CPU µs per token, p99 of /ping in ms."""

    speed: float
    cpu_us: float
    ping_ms: float


class Side:
    """What is measured: a process with its children, and how to run a round of streams on it."""

    def __init__(
        self, process: Process, streams: Callable[[], Awaitable[int]], port: int = 0
    ) -> None:
        """`port`: where it serves /ping; 0 if it is not a server."""
        self.process = process
        self._port = port
        self._streams = streams
        self._ps = psutil.Process(process.pid)

    def signal(self, number: int) -> None:
        for each in [*self._ps.children(recursive=True), self._ps]:
            each.send_signal(number)

    async def round(self) -> Measurement:
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
        return Measurement(tokens / wall, cpu / tokens * 1e6, p99 * 1000)

    def _cpu(self) -> float:
        times = self._ps.cpu_times()
        return times.user + times.system


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def start(module: str, *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        env=os.environ | {"MODEL": "demo", "LOG_LEVEL": "error"},
        stdin=PIPE,
        stdout=PIPE if module == __spec__.name else DEVNULL,
    )


async def wait_ready(port: int, path: str) -> None:
    """Waits until the server on `port` replies to `path` with 200. Raises TimeoutError."""
    async with asyncio.timeout(300), httpx.AsyncClient() as client:
        while True:
            with suppress(httpx.TransportError):
                if (await client.get(f"http://127.0.0.1:{port}{path}")).status_code == 200:
                    return
            await asyncio.sleep(0.5)


async def our_sides() -> tuple[Side, Side]:
    """The bare engine and our server, in one process: a line on its stdin runs a round on the bare
    engine, a line on its stdout is the number of tokens."""
    port = free_port()
    process = await start(__spec__.name, "serve", str(port))
    assert process.stdin
    assert process.stdout
    stdin, stdout = process.stdin, process.stdout

    async def bare_streams() -> int:
        stdin.write(b"\n")
        return int(await stdout.readline())

    await wait_ready(port, "/ping")
    return Side(process, bare_streams), Side(process, lambda: streams(port), port)


async def serve_and_run_bare(settings: Settings) -> None:
    """`worker.serve`, plus a round of streams on its bare engine for each line on stdin."""
    model = resolve(settings)
    engine = SglangEngine(server_args(settings, model))
    serving = asyncio.create_task(serve(Service(engine, model, settings), settings, "127.0.0.1"))
    while engine.health() is not Health.READY:  # noqa: ASYNC110 - the engine has no event for it
        await asyncio.sleep(0.1)
    while await asyncio.to_thread(sys.stdin.readline):
        print(await at_once(lambda: bare(engine, BODY)), flush=True)
    await serving


async def sglang_side(arguments: dict[str, Any], template: str) -> Side:
    """SGLang's own server; `template` is the path of its chat template."""
    parsers = ["--reasoning-parser", "gpt-oss", "--tool-call-parser", "gpt-oss"]
    options = ["--chat-template", template, *parsers, *as_options(arguments)]
    port = free_port()
    process = await start("sglang.launch_server", "--port", str(port), *options)
    await wait_ready(port, "/health_generate")
    return Side(process, lambda: streams(port), port)


def as_options(arguments: dict[str, Any]) -> list[str]:
    """Our engine's arguments as command-line options of SGLang's server."""
    options = ["--host", "127.0.0.1"]
    for name, value in arguments.items():
        if name != "custom_sigquit_handler" and value is not False:
            options.append("--" + name.replace("_", "-"))
            options += [] if value is True else [str(value)]
    return options


async def main(settings: Settings, boots: int) -> None:
    report([measured for _ in range(boots) for measured in await rounds(settings)])


async def rounds(settings: Settings) -> list[list[Measurement]]:
    """The rounds of one boot, each with the sides in the order of NAMES."""
    sides: list[Side] = []
    try:
        sides += await our_sides()
        sides[-1].signal(signal.SIGSTOP)
        arguments = server_args(settings, resolve(settings))
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as template:
            template.write("{% raw %}" + encoding().decode(render_prompt(BODY)) + "{% endraw %}")
            template.flush()
            sides.append(await sglang_side(arguments, template.name))
        sides[-1].signal(signal.SIGSTOP)
        measured = [[await side.round() for side in sides] for _ in range(ROUNDS + 1)]
        return measured[1:]  # the first round is the warm-up
    finally:
        for side in {side.process: side for side in sides}.values():
            side.signal(signal.SIGKILL)
            await side.process.wait()


def report(measured: list[list[Measurement]]) -> None:
    print(f"{len(measured)} rounds of {STREAMS} streams, {ROUNDS} per boot; medians")
    print("| | tokens/s | CPU of the serving process, µs per token | /ping p99, ms |")
    print("| --- | --- | --- | --- |")
    for name, of_side in zip(NAMES, zip(*measured, strict=True), strict=True):
        speed, cpu, pings = (statistics.median(column) for column in zip(*of_side, strict=True))
        print(f"| {name} | {speed:.0f} | {cpu:.0f} | {pings:.1f} |")
    ours_to_bare = [ours.speed / bare.speed for bare, ours, _ in measured]
    ours_to_sglang = [ours.speed / sglang.speed for _, ours, sglang in measured]
    cpu_to_sglang = [ours.cpu_us / sglang.cpu_us for _, ours, sglang in measured]
    print("worker.serve, ratios per round: median (quartiles)")
    print(f"speed / bare engine: {spread(ours_to_bare)} (target: at least 0.95)")
    print(f"speed / sglang.launch_server: {spread(ours_to_sglang)} (target: at least 1)")
    print(f"CPU per token / sglang.launch_server: {spread(cpu_to_sglang)} (target: at most 0.7)")


def spread(ratios: list[float]) -> str:
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        settings = Settings(model="demo", log_level="error", port=int(sys.argv[2]))
        uvloop.run(serve_and_run_bare(settings))
    else:
        boots = int(sys.argv[1]) if len(sys.argv) > 1 else 3
        uvloop.run(main(Settings(model="demo", log_level="error"), boots))
