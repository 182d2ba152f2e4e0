"""What does the HTTP server cost, and how steady is it, beside `sglang.launch_server`?

Both servers (`http_servers.py`) run in processes of their own and take tokens from the stand-in of
SGLang's scheduler, 4,000 a second over all streams, so that HTTP is measured and not a CPU's model.
They answer the same body in turn, to the same client (`http_client.py`) in this process. Meanwhile
the client asks for their health: /ping of `worker.serve`, /health of `sglang.launch_server`.

CPU per token is that of a server's processes but the stand-in, whose work a GPU's scheduler does.
Run: `python -m benchmarks.http_peers [--quick]`.
"""

import asyncio
import socket
import statistics
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple

import httpx
import psutil
import uvloop

from benchmarks.engine_cost import cpu_of
from benchmarks.fake_scheduler import TITLE
from benchmarks.harness import Figure, in_turn, percentile, question_parser, save
from benchmarks.http_client import Received, ping, stream
from benchmarks.http_servers import BODY, LENGTH
from benchmarks.processes import Child, descendants, python
from benchmarks.tables import show
from worker.api.chat import render_prompt

REQUESTS = {1: 20, 32: 2, 128: 1}
"""For each number of concurrent streams, how many requests each makes, one after another."""
QUICK_REQUESTS = {32: 1}
ROUNDS = 3
START_SECONDS = 300
ROUND_SECONDS = 60


class Server(NamedTuple):
    """`process`: its name in `http_servers.py`; `health`: the path of its health check."""

    process: str
    health: str


OURS = "worker.serve"
SERVERS = {OURS: Server("worker", "/ping"), "sglang.launch_server": Server("sglang", "/health")}

Figures = Mapping[str, float]
"""Of one round, by name."""
UNITS = {
    "speed": "tokens/s",
    "CPU": "CPU µs per token",
    "main process": "CPU µs per token",
    "TTFT": "ms",
    "gap p50": "ms",
    "gap p99": "ms",
    "health p99": "ms",
}


class Side:
    """A running server."""

    def __init__(self, child: Child, port: int, health: str) -> None:
        self._child = child
        self._port = port
        self._health = health
        self._prompt_tokens = len(render_prompt(BODY))

    async def ready(self) -> None:
        """Raises ProcessFailed."""
        await self._child.until(self._is_healthy, START_SECONDS, "a healthy server")

    async def _is_healthy(self) -> bool:
        async with httpx.AsyncClient() as client:
            try:
                reply = await client.get(f"http://127.0.0.1:{self._port}{self._health}")
            except httpx.TransportError:
                return False
        return reply.status_code == 200

    async def round(self, streams: int, requests: int) -> Figures:
        """Runs `streams` streams at once, each of so many requests. Raises ProcessFailed."""
        others = [each.pid for each in descendants(self._child.pid) if not is_stand_in(each)]
        pings: list[float] = []
        before = cpu_of([self._child.pid]), cpu_of(others), time.monotonic()
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                received = await self._received(streams, requests, pings)
        except (TimeoutError, OSError, EOFError, ValueError) as error:
            raise self._child.failed(f"{streams} streams: {error!r}") from error
        after = cpu_of([self._child.pid]), cpu_of(others), time.monotonic()
        main, beside, seconds = (end - start for start, end in zip(before, after, strict=True))
        return figures_of_round(received, pings, Spent(main, beside, seconds))

    async def _received(
        self, streams: int, requests: int, pings: list[float]
    ) -> Sequence[Received]:
        async def one_after_another() -> list[Received]:
            return [await stream(self._port, BODY) for _ in range(requests)]

        pinging = asyncio.create_task(ping(self._port, self._health, pings))
        try:
            answers = await asyncio.gather(*(one_after_another() for _ in range(streams)))
            if pinging.done():
                pinging.result()  # raises why it has ended
        finally:
            pinging.cancel()
            await asyncio.wait([pinging])
        received = [each for of_stream in answers for each in of_stream]
        counts = {(each.prompt_tokens, each.completion_tokens) for each in received}
        if counts != {(self._prompt_tokens, LENGTH)}:
            raise ValueError(f"other token counts than {self._prompt_tokens}, {LENGTH}: {counts}")
        return received


class Spent(NamedTuple):
    """What a round took: CPU seconds of the server's main process and of the others; seconds."""

    main: float
    others: float
    wall: float


async def main(requests: Mapping[int, int], rounds: int) -> None:
    figures: list[Figure] = []
    async with all_sides() as sides:
        for streams, each in requests.items():
            measured = await in_turn(
                {name: partial(side.round, streams, each) for name, side in sides.items()}, rounds
            )
            figures += figures_of(measured, streams)
    show(figures)
    save("http_peers", figures)


@asynccontextmanager
async def all_sides() -> AsyncGenerator[Mapping[str, Side]]:
    """The servers. They start at the same time."""
    async with AsyncExitStack() as stack:
        sides: dict[str, Side] = {}
        for name, server in SERVERS.items():
            port = free_port()
            command = ("-m", "benchmarks.http_servers", server.process, str(port))
            child = await stack.enter_async_context(python(*command))
            sides[name] = Side(child, port, server.health)
        for side in sides.values():
            await side.ready()
        yield sides


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def is_stand_in(process: psutil.Process) -> bool:
    return TITLE in "".join(process.cmdline())


def figures_of_round(received: Sequence[Received], pings: Sequence[float], spent: Spent) -> Figures:
    tokens = sum(each.completion_tokens for each in received)
    gaps = [1e3 * gap for each in received for gap in each.gaps]
    return {
        "speed": tokens / spent.wall,
        "CPU": (spent.main + spent.others) / tokens * 1e6,
        "main process": spent.main / tokens * 1e6,
        "TTFT": 1e3 * statistics.median(each.ttft for each in received),
        "gap p50": percentile(gaps, 50),
        "gap p99": percentile(gaps, 99),
        "health p99": 1e3 * percentile(pings, 99),
    }


def figures_of(measured: Mapping[str, Sequence[Figures]], streams: int) -> list[Figure]:
    return [
        Figure(name, side, UNITS[name], {"streams": streams}, [each[name] for each in rounds])
        for side, rounds in measured.items()
        for name in rounds[0]
    ]


if __name__ == "__main__":
    quick = question_parser("http_peers", __doc__).parse_args().quick
    uvloop.run(main(QUICK_REQUESTS if quick else REQUESTS, 1 if quick else ROUNDS))
