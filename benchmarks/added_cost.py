"""The worker's CPU cost per streamed token, beside SGLang's bare `Engine.async_generate`.

Rule: both sides run alternately in one process, each on its own engine, with the same prompts. Only
this process's CPU time is compared, so the schedulers and other load on the machine do not count.
Our side is the whole path from a request's body to its SSE events, rendering the prompt included.
It can cost less than the bare engine, as it receives tokens without SGLang's tokenizer manager.
Run: `make bench`.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple

from worker.api.chat import render_prompt
from worker.api.routes import route_for
from worker.engine import SglangEngine, server_args
from worker.engine.sglang_arguments import sampling_params
from worker.generation import Sampling
from worker.harmony.vocabulary import STOP_IDS
from worker.job_metrics import JobMetrics
from worker.model import resolve
from worker.service import Service
from worker.settings import Settings

BODY = {
    "messages": [{"role": "user", "content": "Count to one hundred"}],
    "temperature": 0,
    "stream": True,
}
STREAMS = 8
ROUNDS = 9


class Cost(NamedTuple):
    """CPU microseconds of this process per token, and tokens per second over all streams."""

    cpu_us: float
    speed: float


async def main() -> None:
    settings = Settings(model="demo", log_level="error")
    model = resolve(settings)
    engine = SglangEngine(server_args(settings, model))
    sglangs = SglangEngine(server_args(settings, model), direct=False)
    try:
        for each in (engine, sglangs):
            await each.start()
        service = Service(engine, model, settings)
        pairs = [
            (await cost(lambda: bare(sglangs)), await cost(lambda: ours(service)))
            for _ in range(ROUNDS + 1)
        ]
    finally:
        for each in (engine, sglangs):
            await each.close()
    report(pairs[1:])  # the first pair warms up


async def cost(one: Callable[[], Awaitable[int]]) -> Cost:
    cpu, wall = time.process_time(), time.monotonic()
    tokens = sum(await asyncio.gather(*(one() for _ in range(STREAMS))))
    return Cost((time.process_time() - cpu) / tokens * 1e6, tokens / (time.monotonic() - wall))


async def bare(engine: SglangEngine, body: dict[str, Any] = BODY) -> int:
    """One stream of the bare engine. Returns the number of its tokens."""
    max_tokens = body.get("max_tokens", 4000)
    sampling = Sampling(max_tokens=max_tokens, temperature=0.0, stop_ids=STOP_IDS)
    stream = await engine._engine.async_generate(
        input_ids=render_prompt(body), sampling_params=sampling_params(sampling), stream=True
    )
    tokens = 0
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            tokens += len(chunk["output_ids"])
    return tokens


async def ours(service: Service) -> int:
    """One stream through the whole worker, to SSE events. Returns the number of its tokens."""
    metrics = JobMetrics()
    exchange = await service.read(route_for("/v1/chat/completions"), BODY)
    async with aclosing(exchange.answer(metrics)) as batches:
        async for batch in batches:
            "".join(map(exchange.dialect.event, batch))
    return metrics.to_object()["completion_tokens"]


def report(pairs: list[tuple[Cost, Cost]]) -> None:
    added = [ours.cpu_us - bare.cpu_us for bare, ours in pairs]
    print(f"{ROUNDS} alternating rounds of {STREAMS} concurrent streams; medians")
    print("| | CPU of this process, µs per token | tokens/s |")
    print("| --- | --- | --- |")
    for name, at in (("bare engine", 0), ("worker, to SSE events", 1)):
        cpu = statistics.median(pair[at].cpu_us for pair in pairs)
        speed = statistics.median(pair[at].speed for pair in pairs)
        print(f"| {name} | {cpu:.1f} | {speed:.0f} |")
    ratio = statistics.median(ours.speed / bare.speed for bare, ours in pairs)
    speed = f"speed: {ratio:.3f} of the bare engine's"
    print(f"added: {statistics.median(added):.1f} µs per token; {speed}")


if __name__ == "__main__":
    asyncio.run(main())
