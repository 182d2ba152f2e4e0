"""Our HTTP door beside SGLang's own server and the bare engine: 32 streams of a chat, in one run.

Rule: every side makes the same tokens of the same prompt ids, with the same model and engine
arguments. The bare engine is asked in the very process that serves our door; SGLang's server, set
up for gpt-oss (its parsers; a chat template that renders our prompt), is another, and whichever is
not measured is stopped (SIGSTOP): idle schedulers spin. The sides take turns, and boot anew after
a few: the same engine is faster or slower by some percent from boot to boot. The client
is this process, with bare sockets, the same for both servers. What is compared is tokens per
second, the CPU of the process that serves (or reads the bare engine's output), and how long /ping
takes meanwhile.
Run: `python -m benchmarks.http_door [BOOTS]`.
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

from benchmarks.added_cost import bare
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
"""Of each boot."""
NAMES = "bare engine", "worker.serve", "sglang.launch_server"


class Figures(NamedTuple):
    """Of one round of streams: tokens per second, CPU µs per token, /ping's p99 in ms."""

    speed: float
    cpu_us: float
    ping_ms: float


class Side:
    """What is measured: a process with its children, and how it makes a round of streams."""

    def __init__(
        self, process: Process, streams: Callable[[], Awaitable[int]], port: int = 0
    ) -> None:
        """`port`: where it answers /ping, if it is a server."""
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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def start(name: str, *words: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", name, *words),
        cwd=ROOT,
        env=os.environ | {"MODEL": "demo", "LOG_LEVEL": "error"},
        stdin=PIPE,
        stdout=PIPE if name == __spec__.name else DEVNULL,
    )


async def answers(port: int, path: str) -> None:
    """Returns once a server on a port is ready, as `path` says."""
    async with asyncio.timeout(300), httpx.AsyncClient() as client:
        while True:
            with suppress(httpx.TransportError):
                if (await client.get(f"http://127.0.0.1:{port}{path}")).status_code == 200:
                    return
            await asyncio.sleep(0.5)


async def our_sides() -> tuple[Side, Side]:
    """The bare engine, and our door before it, in one process: a line in asks the bare engine for
    a round, a line out tells its tokens."""
    port = free_port()
    process = await start(__spec__.name, "serve", str(port))
    assert process.stdin
    assert process.stdout
    to, by = process.stdin, process.stdout

    async def bare_streams() -> int:
        to.write(b"\n")
        return int(await by.readline())

    await answers(port, "/ping")
    return Side(process, bare_streams), Side(process, lambda: streams(port), port)


async def be_served(settings: Settings) -> None:
    """`worker.serve`, which makes streams with its bare engine when a line comes in."""
    model = resolve(settings)
    engine = SglangEngine(server_args(settings, model))
    serving = asyncio.create_task(serve(Service(engine, model, settings), settings, "127.0.0.1"))
    while engine.health() is not Health.READY:  # noqa: ASYNC110 - the port has no event for it
        await asyncio.sleep(0.1)
    while await asyncio.to_thread(sys.stdin.readline):
        print(await at_once(lambda: bare(engine, BODY)), flush=True)
    await serving


async def sglang_side(arguments: dict[str, Any], template: str) -> Side:
    """SGLang's own server; `template` is the file of its chat template."""
    parsers = ["--reasoning-parser", "gpt-oss", "--tool-call-parser", "gpt-oss"]
    words = ["--chat-template", template, *parsers, *as_words(arguments)]
    port = free_port()
    process = await start("sglang.launch_server", "--port", str(port), *words)
    await answers(port, "/health_generate")
    return Side(process, lambda: streams(port), port)


def as_words(arguments: dict[str, Any]) -> list[str]:
    """Our engine's very arguments, as SGLang's server takes them."""
    words = ["--host", "127.0.0.1"]
    for name, value in arguments.items():
        if name != "custom_sigquit_handler" and value is not False:
            words.append("--" + name.replace("_", "-"))
            words += [] if value is True else [str(value)]
    return words


async def main(settings: Settings, boots: int) -> None:
    report([figures for _ in range(boots) for figures in await rounds(settings)])


async def rounds(settings: Settings) -> list[list[Figures]]:
    """Every side's figures in the rounds of one boot, in the order of NAMES."""
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
        figures = [[await side.round() for side in sides] for _ in range(ROUNDS + 1)]
        return figures[1:]  # the first round warmed up
    finally:
        for side in {side.process: side for side in sides}.values():
            side.signal(signal.SIGKILL)
            await side.process.wait()


def report(figures: list[list[Figures]]) -> None:
    print(f"{len(figures)} rounds, {ROUNDS} to a boot, of {STREAMS} streams; medians")
    print("| | tokens/s | CPU of the serving process, µs per token | /ping p99, ms |")
    print("| --- | --- | --- | --- |")
    for name, of_side in zip(NAMES, zip(*figures, strict=True), strict=True):
        speed, cpu, pings = (statistics.median(column) for column in zip(*of_side, strict=True))
        print(f"| {name} | {speed:.0f} | {cpu:.0f} | {pings:.1f} |")
    door_to_bare = [door.speed / bare.speed for bare, door, _ in figures]
    door_to_sglang = [door.speed / sglang.speed for _, door, sglang in figures]
    cpu_to_sglang = [door.cpu_us / sglang.cpu_us for _, door, sglang in figures]
    print("our door's, round by round (median, and the quartiles beside it):")
    print(f"speed, of the bare engine's: {spread(door_to_bare)} (must: 0.95 or more)")
    print(f"speed, of sglang.launch_server's: {spread(door_to_sglang)} (must: 1 or more)")
    print(f"CPU per token, of sglang.launch_server's: {spread(cpu_to_sglang)} (must: 0.7 or less)")


def spread(ratios: list[float]) -> str:
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(be_served(Settings(model="demo", log_level="error", port=int(sys.argv[2]))))
    else:
        boots = int(sys.argv[1]) if len(sys.argv) > 1 else 3
        uvloop.run(main(Settings(model="demo", log_level="error"), boots))
