"""How long a long prompt keeps other streams waiting.

16 streams get a token every 10 ms from an engine that costs nothing; beside them, once a second, a
request with a history of about 128,000 tokens comes in: once never seen before, once with one new
message. Measured is the gap between two chunks of a stream, with and without those requests in
turn, and the event loop's CPU time from a body's bytes to the prompt's ids of a second turn.
Run: `python -m benchmarks.prompt_stall` (`--seconds N` for each part).
"""

import argparse
import asyncio
import gc
import json
import random
import re
import statistics
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from benchmarks.api_cost import ListEngine
from worker.api.routes import route_for
from worker.entrypoints.http.request_body import parse_json
from worker.generation import Sampling, Step
from worker.harmony.vocabulary import CHANNEL, MESSAGE, encode, token_bytes
from worker.job_metrics import JobMetrics
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

STREAMS = 16
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


async def gaps_beside(service: Service, bodies: Sequence[bytes], seconds: float) -> list[float]:
    """The streams' gaps while one of the bodies is read each second."""
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
    return gaps


async def measure(seconds: int) -> None:
    model = Model(path="demo", names=("demo",), context_length=10**7)
    service = Service(PacedEngine(), model, Settings(model="demo"))
    gc.collect()
    gc.freeze()  # as the engine does after its start
    first = [history(seed, 128_000) for seed in range(seconds)]
    later = [[*messages, {"role": "user", "content": "Go on."}] for messages in first]
    for name, bodies in (
        ("alone", []),
        ("beside new histories", list(map(body, first))),
        ("beside known histories and one new message", list(map(body, later))),
    ):
        gaps = [1e3 * gap for gap in await gaps_beside(service, bodies, seconds)]
        p50, p99 = statistics.median(gaps), statistics.quantiles(gaps, n=100)[98]
        print(f"{name}: gap p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {max(gaps):.1f} ms")
    again = body([*history(0, 100_000), {"role": "user", "content": "And now?"}])
    await service.read(CHAT, parse_json(again))
    times = [await second_turn(service, again) for _ in range(20)]
    print(f"a second turn of 100,000 tokens: {statistics.median(times):.1f} ms of CPU")


async def second_turn(service: Service, again: bytes) -> float:
    started = time.thread_time()
    await service.read(CHAT, parse_json(again))
    return 1e3 * (time.thread_time() - started)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    asyncio.run(measure(parser.parse_args().seconds))
