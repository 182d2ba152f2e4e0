"""How long a long prompt keeps other streams waiting.

16 streams get a token every 10 ms from an engine that costs nothing; beside them, once a second, a
request with a history of about 128,000 tokens comes in: once never seen before, once with one new
message. Measured is the gap between two chunks of a stream, with and without those requests in
turn, and the event loop's CPU time from a body's bytes to the prompt's ids of a second turn.
Run: `python -m benchmarks.prompt_stall [--quick]`.
"""

import asyncio
import gc
import itertools
import json
import random
import re
import statistics
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from benchmarks.api_cost import ListEngine
from benchmarks.harness import Figure, differences, in_turn, question_parser, save
from benchmarks.tables import show
from worker.api.routes import route_for
from worker.entrypoints.http.request_body import parse_json
from worker.generation import Sampling, Step
from worker.harmony.vocabulary import CHANNEL, MESSAGE, encode, token_bytes
from worker.job_metrics import JobMetrics
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

STREAMS = 16
HISTORY = 128_000
SECOND_TURN = 100_000
"""Tokens of a history."""
SECOND_TURNS = 20
ROUNDS, SECONDS = 5, 3
QUICK_ROUNDS, QUICK_SECONDS = 1, 1
ALONE = "alone"
TOKEN_SECONDS = 0.01
CHAT = route_for("/v1/chat/completions")
WORDS = encode("The quick brown fox jumps over the lazy dog, and so on. ")
WORD = re.compile(rb" ?[a-zA-Z]+")
TOOL = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}


class PacedEngine(ListEngine):
    """Generates a word every `TOKEN_SECONDS`, until it is closed."""

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        del sampling, rid
        head = [CHANNEL, *encode("final"), MESSAGE]
        for count in range(10**9):
            ids = head if count == 0 else [WORDS[count % len(WORDS)]]
            yield Step(ids, None, len(prompt_ids), 0, count + 1)
            await asyncio.sleep(TOKEN_SECONDS)


def history(seed: int, tokens: int) -> list[dict[str, Any]]:
    """A loop of calls and results, whose texts are English words of the vocabulary at random."""
    rng = random.Random(seed)  # noqa: S311 - reproducible
    words = [word.decode() for word in token_bytes()[1000:50_000] if WORD.fullmatch(word)]
    said: list[dict[str, Any]] = [{"role": "user", "content": "Find the fault."}]
    for number in range(tokens // 500):
        call = {"name": "read", "arguments": json.dumps({"path": f"{number}.py"})}
        text = "".join(rng.choices(words, k=480))
        calls = [{"id": f"c{number}", "type": "function", "function": call}]
        said += [
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "tool_call_id": f"c{number}", "content": text},
        ]
    return said


def body(messages: Sequence[dict[str, Any]]) -> bytes:
    return json.dumps({"messages": messages, "tools": [TOOL], "stream": True}).encode()


async def stream(service: Service, gaps: list[float]) -> None:
    exchange = await service.read(CHAT, parse_json(body([{"role": "user", "content": "Go on."}])))
    before = None
    async with aclosing(exchange.answer(JobMetrics())) as batches:
        async for _ in batches:
            now = time.perf_counter()
            if before is not None:
                gaps.append(now - before)
            before = now


async def slowest_gap(service: Service, bodies: Sequence[bytes], seconds: float) -> float:
    """The p99 in ms of the streams' gaps while one of the bodies is read each second."""
    gaps: list[float] = []
    streams = [asyncio.create_task(stream(service, gaps)) for _ in range(STREAMS)]
    end = time.monotonic() + seconds
    for each in bodies:
        await service.read(CHAT, parse_json(each))
        await asyncio.sleep(1)
    await asyncio.sleep(max(0.0, end - time.monotonic()))
    for task in streams:
        task.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    return 1e3 * statistics.quantiles(gaps, n=100)[98]


async def main(rounds: int, seconds: int) -> None:
    model = Model(path="demo", names=("demo",), context_length=10**7)
    service = Service(PacedEngine(), model, Settings(model="demo"))
    gc.collect()
    gc.freeze()  # as the engine does after its start
    seeds = itertools.count()
    histories = [history(next(seeds), HISTORY) for _ in range(seconds)]

    async def beside_new() -> float:
        new = [body(history(next(seeds), HISTORY)) for _ in range(seconds)]
        return await slowest_gap(service, new, seconds)

    async def beside_known() -> float:
        for each in histories:
            await service.read(CHAT, parse_json(body(each)))
        longer = [body([*each, {"role": "user", "content": "Go on."}]) for each in histories]
        return await slowest_gap(service, longer, seconds)

    sides = {
        ALONE: partial(slowest_gap, service, [], seconds),
        "beside new histories": beside_new,
        "beside known histories and one new message": beside_known,
    }
    measured = await in_turn(sides, rounds)
    figures = [
        figure
        for side, gaps in measured.items()
        for figure in (
            Figure("gap, p99", side, "ms", {}, gaps),
            Figure("added to the gap", side, "ms", {}, differences(gaps, measured[ALONE])),
        )
    ]
    turns = await second_turns(service, SECOND_TURNS)
    figures.append(Figure("second turn", "worker", "CPU ms", {"tokens": SECOND_TURN}, turns))
    show(figures)
    save("prompt_stall", figures)


async def second_turns(service: Service, count: int) -> list[float]:
    """The CPU milliseconds of this thread for each of `count` second turns."""
    first = history(0, SECOND_TURN)
    await service.read(CHAT, parse_json(body(first)))
    times: list[float] = []
    for number in range(count):
        again = body([*first, {"role": "user", "content": f"And now? {number}"}])
        started = time.thread_time()
        await service.read(CHAT, parse_json(again))
        times.append(1e3 * (time.thread_time() - started))
    return times


if __name__ == "__main__":
    parser = question_parser("prompt_stall", __doc__)
    if parser.parse_args().quick:
        asyncio.run(main(QUICK_ROUNDS, QUICK_SECONDS))
    else:
        asyncio.run(main(ROUNDS, SECONDS))
