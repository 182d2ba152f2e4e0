"""How much decode throughput the header grammar (HEADER_GRAMMAR) costs.

The same prompts and tokens with and without the grammar, in turn on one engine. The model writes
well-formed headers by itself, so only the grammar's work differs. Throughput depends on the
machine's other load; the CPU time of the engine's main threads for the same tokens measures the
same with less noise.
Run: `python -m benchmarks.header_grammar [--quick]`.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

import psutil

from benchmarks.harness import Case, Figure, in_turn, question_parser, save
from benchmarks.tables import show
from worker.api.chat import render_prompt, structural_tag
from worker.engine import SglangEngine, server_args
from worker.generation import Sampling
from worker.harmony.vocabulary import STOP_IDS
from worker.model import resolve
from worker.settings import Settings

STREAMS = (1, 8, 32)
LENGTH = 150
"""At most so many tokens of each answer."""
ROUNDS = 3
QUICK_STREAMS = (4,)
QUICK_ROUNDS = 1
FREE, CONSTRAINED = "free headers", "constrained headers"
BODY = {"messages": [{"role": "user", "content": "Count to one hundred"}]}
TOOLS = [{"type": "function", "function": {"name": f"tool_{i}"}} for i in range(10)]


async def main(streams: Sequence[int], rounds: int) -> None:
    settings = Settings(model="demo", log_level="error")
    engine = SglangEngine(server_args(settings, resolve(settings)))
    tag = structural_tag({"tools": TOOLS}, headers=True)
    figures: list[Figure] = []
    try:
        await engine.start()
        for count in streams:
            sides = {
                FREE: partial(run, engine, count, None),
                CONSTRAINED: partial(run, engine, count, tag),
            }
            figures += figures_of(await in_turn(sides, rounds), {"streams": count})
    finally:
        await engine.close()
    show(figures)
    save("header_grammar", figures)


class Run(NamedTuple):
    """One run of concurrent streams: tokens per second, and CPU seconds per token."""

    speed: float
    cpu: float


def figures_of(measured: Mapping[str, Sequence[Run]], case: Case) -> list[Figure]:
    return [
        figure
        for side, runs in measured.items()
        for figure in (
            Figure("speed", side, "tokens/s", case, [each.speed for each in runs]),
            Figure("engine", side, "CPU µs per token", case, [each.cpu * 1e6 for each in runs]),
        )
    ]


async def run(engine: SglangEngine, streams: int, tag: str | None) -> Run:
    started, spent = time.monotonic(), cpu_seconds(engine)
    tokens = sum(await asyncio.gather(*(stream(engine, i, tag) for i in range(streams))))
    return Run(tokens / (time.monotonic() - started), (cpu_seconds(engine) - spent) / tokens)


def cpu_seconds(engine: SglangEngine) -> float:
    """CPU time of the main threads of the engine's processes; the others busy-wait for them."""
    return sum(
        thread.user_time + thread.system_time
        for process in engine._processes
        for thread in psutil.Process(process.pid).threads()
        if thread.id == process.pid
    )


async def stream(engine: SglangEngine, index: int, tag: str | None) -> int:
    sampling = Sampling(max_tokens=LENGTH, temperature=0.0, stop_ids=STOP_IDS, structural_tag=tag)
    tokens = 0
    async with aclosing(engine.generate(render_prompt(BODY), sampling, f"bench-{index}")) as steps:
        async for step in steps:
            tokens = step.completion_tokens
    return tokens


if __name__ == "__main__":
    parser = question_parser("header_grammar", __doc__)
    if parser.parse_args().quick:
        asyncio.run(main(QUICK_STREAMS, QUICK_ROUNDS))
    else:
        asyncio.run(main(STREAMS, ROUNDS))
