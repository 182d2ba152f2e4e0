"""How many tokens a second can pass through the worker's own path, on one core?

Rule: the engine is a list that is ready once each turn of the event loop for each of 64 streams,
one token a step, so every token is a chunk of its own and wakes its stream once, as with SGLang on
a fast GPU. Compared is the CPU time of this process, in rounds that alternate: reading the bare
engine, making SSE strings, and serving them over HTTP to a client in another process.
Run: `python -m benchmarks.path_ceiling`.
"""

import asyncio
import gc
import json
import socket
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

import uvloop

from benchmarks.api_cost import CHAT, TURNS, ListEngine
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
ROUNDS = 5
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


async def main() -> None:
    engine = TurnEngine()
    engine.ids = [*encoding().encode(TURNS["text"], allowed_special="all")[: LENGTH - 1], RETURN]
    service = Service(engine, Model("x", ("m",), 131072), Settings())
    server = create_server(service, Settings())
    listener = socket.create_server(("127.0.0.1", 0), backlog=STREAMS)
    serving = asyncio.create_task(server.serve([listener]))
    rounds: dict[str, Callable[[], Awaitable[object]]] = {
        "bare engine": lambda: at_once(lambda: bare(engine)),
        "SSE strings": lambda: at_once(lambda: strings(service)),
        "HTTP": lambda: client_process(listener.getsockname()[1]),
    }
    gc.collect()
    gc.freeze()  # as the engine does after its start
    costs: dict[str, list[float]] = {name: [] for name in rounds}
    for _ in range(ROUNDS + 1):
        for name, one_round in rounds.items():
            started = time.process_time()
            await one_round()
            spent = time.process_time() - started
            costs[name].append(spent * 1e6 / (STREAMS * LENGTH))
    server.stop()
    await serving
    print(f"{ROUNDS} alternating rounds of {STREAMS} streams; medians (quartiles)")
    print("| | CPU µs per token | tokens/s per core |")
    print("| --- | --- | --- |")
    for name, found in costs.items():
        low, middle, high = statistics.quantiles(found[1:], n=4)  # the first warms up
        print(f"| {name} | {middle:.1f} ({low:.1f} to {high:.1f}) | {1e6 / middle:,.0f} |")


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
    port = int(sys.argv[1]) if sys.argv[1:] else 0
    uvloop.run(at_once(lambda: read_stream(port)) if port else main())
