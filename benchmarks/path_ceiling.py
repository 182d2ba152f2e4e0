"""How many tokens a second can pass through the worker's own path, on one core?

The engine is a list that is ready once each turn of the event loop for each of 64 streams,
one token a step, so every token is a chunk of its own and wakes its stream once, as with SGLang on
a fast GPU. Compared is the CPU time of this process, in turn: reading the bare engine, making SSE
strings, and serving them over HTTP to a client in another process.
Run: `python -m benchmarks.path_ceiling [--quick]`.
"""

import argparse
import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial

import uvloop

from benchmarks.api_cost import CHAT, TURNS, ListEngine
from benchmarks.harness import Figure, in_turn, question_parser, save
from benchmarks.tables import show
from worker.api.routes import route_for
from worker.entrypoints.http.server import create_server
from worker.generation import Sampling, Step
from worker.harmony.vocabulary import RETURN, encoding
from worker.job_metrics import JobMetrics
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

STREAMS = 64
LENGTH = 400
"""Tokens of each answer."""
ROUNDS = 7
QUICK_ROUNDS = 1
BODY = {"messages": [{"role": "user", "content": "Write."}], "stream": True}
SAMPLING = Sampling(max_tokens=10_000)


class TurnEngine(ListEngine):
    """Generates its ids, one each turn of the event loop."""

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        async with aclosing(super().generate(prompt_ids, sampling, rid)) as steps:
            async for step in steps:
                await asyncio.sleep(0)
                yield step


async def main(rounds: int) -> None:
    engine = TurnEngine()
    engine.ids = [*encoding().encode(TURNS["text"], allowed_special="all")[: LENGTH - 1], RETURN]
    service = Service(engine, Model("x", ("m",), 131072), Settings())
    server = create_server(service, Settings())
    listener = socket.create_server(("127.0.0.1", 0), backlog=STREAMS)
    serving = asyncio.create_task(server.serve([listener]))
    sides: dict[str, Callable[[], Awaitable[None]]] = {
        "bare engine": lambda: at_once(lambda: bare(engine)),
        "SSE strings": lambda: at_once(lambda: strings(service)),
        "HTTP": lambda: client_process(listener.getsockname()[1]),
    }
    measured = await in_turn({name: partial(cost, side) for name, side in sides.items()}, rounds)
    server.stop()
    await serving
    figures = [
        figure
        for side, costs in measured.items()
        for figure in (
            Figure("cost", side, "CPU µs per token", {}, costs),
            Figure("ceiling", side, "tokens/s per core", {}, [1e6 / each for each in costs]),
        )
    ]
    show(figures)
    save("path_ceiling", figures)


async def cost(one_round: Callable[[], Awaitable[None]]) -> float:
    """The CPU microseconds of this process per token."""
    started = time.process_time()
    await one_round()
    return (time.process_time() - started) * 1e6 / (STREAMS * LENGTH)


async def at_once(stream: Callable[[], Awaitable[None]]) -> None:
    await asyncio.gather(*(stream() for _ in range(STREAMS)))


async def bare(engine: TurnEngine) -> None:
    async with aclosing(engine.generate([1], SAMPLING, "")) as steps:
        async for _ in steps:
            pass


async def strings(service: Service) -> None:
    exchange = await service.read(route_for(CHAT), BODY)
    async with aclosing(exchange.answer(JobMetrics())) as batches:
        async for batch in batches:
            "".join(map(exchange.dialect.event, batch))


async def client_process(port: int) -> None:
    command = [sys.executable, "-m", __spec__.name, str(port)]
    client = await asyncio.create_subprocess_exec(*command)
    assert await client.wait() == 0


async def read_stream(port: int) -> None:
    """One request over HTTP, read to its end."""
    body = json.dumps(BODY).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    assert b"[DONE]" in (await reader.read())[-100:]
    writer.close()


if __name__ == "__main__":
    parser = question_parser("path_ceiling", __doc__)
    parser.add_argument("port", nargs="?", type=int, help=argparse.SUPPRESS)  # of the client
    asked = parser.parse_args()
    if asked.port:
        uvloop.run(at_once(lambda: read_stream(asked.port)))
    else:
        uvloop.run(main(QUICK_ROUNDS if asked.quick else ROUNDS))
