"""What does a stream hold while it runs, and does anything grow over thousands of requests?

The engine costs nothing: it makes a fixed answer, one token a step.

- Held: streams of each API are read up to a token in the middle of their answer, where the engine
  pauses. Counted is what Python has allocated since (tracemalloc) for each stream, less what the
  same streams of the bare engine hold: with the worker's path alone, and with the HTTP server's.
  Goal: less than 50 kB, at short and at long answers.
- Growth: requests of all APIs, one after another, each with reasoning and a tool call, so that the
  turn memory and the response store take part. They are limited to 1 MB and full before anything is
  counted. Counted are the process's memory (RSS), the objects that the garbage collector knows, and
  the blocks that Python's allocator has given out, for each thousand requests. Prompts repeat.

Run: `python -m benchmarks.memory [--quick]`.
"""

import asyncio
import gc
import socket
import sys
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from itertools import cycle, islice, pairwise
from typing import Any, NamedTuple

import psutil
import uvloop

from benchmarks.api_cost import BODIES, CALL, ListEngine
from benchmarks.harness import Figure, differences, in_turn, question_parser, save
from benchmarks.path_ceiling import TurnEngine
from benchmarks.stream_client import read_streams
from benchmarks.tables import show
from worker.api.routes import route_for
from worker.entrypoints.http.server import create_server
from worker.generation import Sampling, Step
from worker.harmony.vocabulary import encoding
from worker.job_metrics import JobMetrics
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

MODEL = Model("x", ("m",), 131072)
LENGTHS = {50: 50, 10_000: 2}
"""After how many tokens the engine pauses, and how many streams wait there."""
QUICK_LENGTHS = {50: 10}
ROUNDS = 1
"""Python allocates the same in each."""
GROWTH = 2000, 5000
"""Requests that fill what is limited, and those that are counted."""
QUICK_GROWTH = 100, 200
FIRST = 20
"""Tokens of an answer that does not come to the pause."""
PARTS = 5
"""The requests are counted in so many parts."""
CLIENTS = 4
"""Concurrent streams of the requests over HTTP."""
WORDS = "The weather in Paris is sunny today and the sky is blue. "
TOKENS_OF_WORDS = 13
SMALL = Settings(reasoning_memory_mb=1, response_store_mb=1)
"""What is remembered fills up soon."""
LOOP = (
    "<|channel|>analysis<|message|>I have to write that down.<|end|><|start|>assistant"
    + CALL
    + '{"text": "Sunny"}<|call|>'
)
BASELINE = "engine"
SAMPLING = Sampling(max_tokens=1_000_000)


class PausingEngine(TurnEngine):
    """Generates its ids, one each turn of the event loop, until `pause_at`; goes on when `going_on`
    is set."""

    def __init__(self, ids: Sequence[int], pause_at: int) -> None:
        super().__init__()
        self.ids = ids
        self.going_on = asyncio.Event()
        self._pause_at = pause_at
        self._paused = asyncio.Semaphore(0)

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        async with aclosing(super().generate(prompt_ids, sampling, rid)) as steps:
            async for step in steps:
                yield step
                if step.completion_tokens == self._pause_at:
                    self._paused.release()
                    await self.going_on.wait()

    async def paused(self, streams: int) -> None:
        """Returns when so many more streams have come to the pause."""
        for _ in range(streams):
            await self._paused.acquire()


class Counts(NamedTuple):
    """Of this process, at a point in time. `rss`: in bytes."""

    rss: int
    objects: int
    blocks: int


async def main(lengths: Mapping[int, int], warm_up: int, requests: int) -> None:
    figures: list[Figure] = []
    for tokens, streams in lengths.items():
        figures += await held_figures(tokens, streams)
    engine = ListEngine()
    engine.ids = encoding().encode(LOOP, allowed_special="all")
    service = Service(engine, MODEL, SMALL)
    async with serving(service) as port:
        await through_worker(service, warm_up)
        sides = {"worker": partial(through_worker, service), "HTTP": partial(over_http, port)}
        for side, make in sides.items():
            figures += growth_figures(side, await growth(make, requests), requests)
    show(figures)
    save("memory", figures)


# What a stream holds


async def held_figures(tokens: int, streams: int) -> list[Figure]:
    text = f"<|channel|>final<|message|>{WORDS * (tokens // TOKENS_OF_WORDS + 2)}<|return|>"
    ids = encoding().encode(text, allowed_special="all")
    sides: dict[str, Callable[[PausingEngine], Awaitable[float]]] = {
        BASELINE: partial(held_by_engine, streams)
    }
    for path in BODIES:
        sides[path] = partial(held_by_worker, streams, path)
        sides[f"{path}, HTTP"] = partial(held_over_http, streams, path)
    tracemalloc.start()
    measured = await in_turn(
        {name: partial(on_new_engine, ids, tokens, side) for name, side in sides.items()}, ROUNDS
    )
    tracemalloc.stop()
    baseline = measured.pop(BASELINE)
    return [
        Figure("held", side, "kB per stream", {"tokens": tokens}, differences(values, baseline))
        for side, values in measured.items()
    ]


async def on_new_engine(
    ids: Sequence[int], pause_at: int, side: Callable[[PausingEngine], Awaitable[float]]
) -> float:
    return await side(PausingEngine(ids, pause_at))


async def held_by_engine(streams: int, engine: PausingEngine) -> float:
    async def read(number: int) -> None:
        async def stream() -> None:
            async with aclosing(engine.generate([1], SAMPLING, "")) as steps:
                async for _ in steps:
                    pass

        await asyncio.gather(*(stream() for _ in range(number)))

    return await held(engine, read, streams)


async def held_by_worker(streams: int, path: str, engine: PausingEngine) -> float:
    service = Service(engine, MODEL, Settings())

    async def read(number: int) -> None:
        await asyncio.gather(*(read_events(service, path) for _ in range(number)))

    return await held(engine, read, streams)


async def held_over_http(streams: int, path: str, engine: PausingEngine) -> float:
    async with serving(Service(engine, MODEL, Settings())) as port:
        requests = [(path, body(path))]
        return await held(engine, lambda number: read_streams(port, number, 1, requests), streams)


async def held(
    engine: PausingEngine, read: Callable[[int], Awaitable[None]], streams: int
) -> float:
    """The kB that each of the streams holds while it is paused. `read` reads so many to their ends,
    at the same time: before, one that is short, for what is made once."""
    whole, engine.ids = engine.ids, engine.ids[:FIRST]
    await read(1)
    engine.ids = whole
    before = traced()
    reading = asyncio.ensure_future(read(streams))
    await engine.paused(streams)
    await asyncio.sleep(0.1)  # until what they have made is sent
    taken = traced() - before
    engine.going_on.set()
    await reading
    return taken / streams / 1000


def traced() -> int:
    """The bytes that Python has allocated."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


# What is left behind


async def growth(make: Callable[[int], Awaitable[None]], requests: int) -> list[Counts]:
    """The counts before the requests, and after each part of them. `make` makes so many. One more
    part comes first, to warm up."""
    found: list[Counts] = []
    for _ in range(PARTS + 1):
        await make(requests // PARTS)
        found.append(counts())
    return found


async def through_worker(service: Service, requests: int) -> None:
    for path in islice(cycle(BODIES), requests):
        await read_events(service, path)


async def over_http(port: int, requests: int) -> None:
    of_all_apis = [(path, body(path)) for path in BODIES]
    await read_streams(port, CLIENTS, requests // CLIENTS, of_all_apis)


def counts() -> Counts:
    gc.collect()
    rss = psutil.Process().memory_info().rss
    return Counts(rss, len(gc.get_objects()), sys.getallocatedblocks())


def growth_figures(side: str, found: Sequence[Counts], requests: int) -> list[Figure]:
    """For each count, a value of each part: what it grew by, for each request."""
    parts = list(pairwise(found))
    each = requests // PARTS
    return [
        Figure(
            f"growth of {name}",
            side,
            f"{unit} per request",
            {"requests": requests},
            [(getattr(after, name) - getattr(before, name)) / each for before, after in parts],
        )
        for name, unit in (("rss", "bytes"), ("objects", "objects"), ("blocks", "blocks"))
    ]


# Requests


async def read_events(service: Service, path: str) -> None:
    """One streamed request, to its last server-sent event."""
    exchange = await service.read(route_for(path), body(path))
    async with aclosing(exchange.answer(JobMetrics())) as batches:
        async for batch in batches:
            "".join(map(exchange.dialect.event, batch))


def body(path: str) -> dict[str, Any]:
    return {**BODIES[path], "stream": True}


@asynccontextmanager
async def serving(service: Service) -> AsyncGenerator[int]:
    """The worker's HTTP server; its port."""
    server = create_server(service, Settings(log_level="error"))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.stop()
        await running


if __name__ == "__main__":
    if question_parser("memory", __doc__).parse_args().quick:
        uvloop.run(main(QUICK_LENGTHS, *QUICK_GROWTH))
    else:
        uvloop.run(main(LENGTHS, *GROWTH))
