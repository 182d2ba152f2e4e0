"""What does a token cost on the CPU, beside SGLang's own engine and SGLang's own chat completions?

All sides take tokens from the stand-in of SGLang's scheduler (`fake_scheduler.py`), which sends
4,000 a second over all streams. They run in turn in one process, with the same body, ids and limit:

- `Engine.async_generate`: SGLang's engine, nothing made of its chunks;
- `worker, SGLang's output`: the worker behind that engine (DIRECT_OUTPUT=false), to SSE events;
- `worker`: the same on its own receiver, without SGLang's detokenizer process;
- `OpenAIServingChat`: SGLang's chat completions on its engine, to SSE events.

Compared is the CPU time per token of the main process, and of the processes beside it. The stand-in
is not counted: what it replaces runs a GPU. A machine that is too busy to keep 4,000 tokens a
second merges steps, which costs less per token: compare sides only where the speed is the same.
Run: `python -m benchmarks.engine_cost [--quick]`.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import psutil
import uvloop

from benchmarks.api_cost import CHAT, TURNS
from benchmarks.bare_engine import bare
from benchmarks.fake_scheduler import TITLE, Forced, in_place_of_sglangs
from benchmarks.harness import Case, Figure, differences, in_turn, question_parser, save
from benchmarks.same_request import SPEED, asking, chat_template
from benchmarks.tables import show
from worker.api.routes import route_for
from worker.engine import SglangEngine, server_args
from worker.harmony.vocabulary import encoding
from worker.job_metrics import JobMetrics
from worker.model import resolve
from worker.service import Service
from worker.settings import Settings

LENGTH = 200
"""Tokens of each answer."""
REQUESTS = {1: 10, 16: 1, 64: 1}
"""For each number of concurrent streams, how many requests each makes, one after another."""
ROUNDS = 4
QUICK_REQUESTS, QUICK_ROUNDS = {16: 1}, 1
BASELINE = "Engine.async_generate"
BODY = asking(LENGTH)

Stream = Callable[[], Awaitable[int]]
"""Makes one request and reads its answer. Returns the number of its tokens."""


class Cost(NamedTuple):
    """CPU microseconds per token, and tokens per second."""

    main_us: float
    others_us: float
    speed: float


class Side(NamedTuple):
    """`others`: the process ids that count besides this process's own."""

    stream: Stream
    others: Sequence[int]


async def main(requests: Mapping[int, int], rounds: int) -> None:
    figures: list[Figure] = []
    async with all_sides() as sides:
        for streams, each in requests.items():
            measured = await in_turn(
                {name: partial(cost, side, streams, each) for name, side in sides.items()}, rounds
            )
            figures += figures_of(measured, streams)
    show(figures)
    save("engine_cost", figures)


@asynccontextmanager
async def all_sides() -> AsyncGenerator[Mapping[str, Side]]:
    """The sides, on two engines: with SGLang's output, and with the worker's."""
    settings = Settings(model="demo", log_level="error")
    model = resolve(settings)
    ids = encoding().encode(TURNS["text"], allowed_special="all")
    with chat_template(BODY) as template:
        arguments = {
            **server_args(settings, model),
            "reasoning_parser": "gpt-oss",
            "tool_call_parser": "gpt-oss",
            "chat_template": template,
        }
        sglangs, direct = SglangEngine(arguments, direct=False), SglangEngine(arguments)
        try:
            with in_place_of_sglangs(Forced(ids, SPEED)):
                for engine in (sglangs, direct):
                    await engine.start()
            beside = beside_the_scheduler(sglangs)
            yield {
                BASELINE: Side(lambda: bare(sglangs, BODY), beside),
                "worker, SGLang's output": Side(
                    partial(through_worker, Service(sglangs, model, settings)), beside
                ),
                "worker": Side(
                    partial(through_worker, Service(direct, model, settings)),
                    beside_the_scheduler(direct),
                ),
                "OpenAIServingChat": Side(sglangs_chat(sglangs), beside),
            }
        finally:
            for engine in (sglangs, direct):
                await engine.close()


def beside_the_scheduler(engine: SglangEngine) -> list[int]:
    """The processes of an engine but its scheduler."""
    pids = [process.pid for process in engine._processes]
    return [pid for pid in pids if TITLE not in psutil.Process(pid).cmdline()[0]]


async def through_worker(service: Service) -> int:
    """From the request's body to SSE events."""
    metrics = JobMetrics()
    exchange = await service.read(route_for(CHAT), BODY)
    async with aclosing(exchange.answer(metrics)) as batches:
        async for batch in batches:
            "".join(map(exchange.dialect.event, batch))
    return metrics.to_object()["completion_tokens"]


def sglangs_chat(engine: SglangEngine) -> Stream:
    """The same with SGLang's chat completions, the HTTP server around them left out."""
    from sglang.srt.entrypoints.openai.protocol import ChatCompletionRequest
    from sglang.srt.entrypoints.openai.serving_chat import OpenAIServingChat

    chat: Any = OpenAIServingChat(engine._engine.tokenizer_manager, engine._engine.template_manager)

    async def stream() -> int:
        response = await chat.handle_request(ChatCompletionRequest(**BODY), None)
        *_, usage, done = [event async for event in response.body_iterator]
        assert "[DONE]" in done, done
        return json.loads(usage.removeprefix("data: "))["usage"]["completion_tokens"]

    return stream


async def cost(side: Side, streams: int, requests: int) -> Cost:
    """One round: `streams` streams at once, of `requests` requests one after another."""

    async def one_stream() -> None:
        for _ in range(requests):
            assert await side.stream() == LENGTH

    tokens = streams * requests * LENGTH
    others, main, wall = cpu_of(side.others), time.process_time(), time.monotonic()
    await asyncio.gather(*(one_stream() for _ in range(streams)))
    return Cost(
        main_us=(time.process_time() - main) / tokens * 1e6,
        others_us=(cpu_of(side.others) - others) / tokens * 1e6,
        speed=tokens / (time.monotonic() - wall),
    )


def cpu_of(pids: Sequence[int]) -> float:
    """The CPU seconds that these processes have used so far.

    In nanoseconds from each process's CPU clock, whose id is made of the pid (clock_getcpuclockid):
    /proc/PID/stat counts in hundredths of a second.
    """
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def figures_of(measured: Mapping[str, Sequence[Cost]], streams: int) -> list[Figure]:
    figures: list[Figure] = []
    case: Case = {"streams": streams}
    baseline = [each.main_us for each in measured[BASELINE]]
    for side, costs in measured.items():
        main = [each.main_us for each in costs]
        figures += [
            Figure("main process", side, "CPU µs per token", case, main),
            Figure("added", side, "CPU µs per token", case, differences(main, baseline)),
            Figure("others", side, "CPU µs per token", case, [each.others_us for each in costs]),
            Figure("speed", side, "tokens/s", case, [each.speed for each in costs]),
        ]
    return figures


if __name__ == "__main__":
    parser = question_parser("engine_cost", __doc__)
    if parser.parse_args().quick:
        uvloop.run(main(QUICK_REQUESTS, QUICK_ROUNDS))
    else:
        uvloop.run(main(REQUESTS, ROUNDS))
