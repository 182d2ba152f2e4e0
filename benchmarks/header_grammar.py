"""What the light grammar of headers (HEADER_GRAMMAR) costs of decode throughput.

Rule: the same prompts and the same tokens with and without the grammar, in turn on one engine, each
first in every other round; the model writes well-formed headers by itself, so that nothing but the
grammar's work differs. The speed is that of this machine, whatever else it does meanwhile; the CPU
time that the engine's main threads take for the same tokens says the same with less noise.
Run: `python -m benchmarks.header_grammar`.
"""

import asyncio
import statistics
import time
from contextlib import aclosing
from typing import NamedTuple

import psutil

from benchmarks.added_cost import BODY
from worker.api.chat import render_prompt, structural_tag
from worker.engine import SglangEngine, server_args
from worker.generation import Sampling
from worker.harmony.vocabulary import STOP_IDS
from worker.model import resolve
from worker.settings import Settings

STREAMS = (1, 8, 32)
ROUNDS = 7
TOOLS = [{"type": "function", "function": {"name": f"tool_{i}"}} for i in range(10)]


async def main() -> None:
    settings = Settings(model="demo", log_level="error")
    engine = SglangEngine(server_args(settings, resolve(settings)))
    await engine.start()
    tag = structural_tag({"tools": TOOLS}, headers=True)
    print(f"{ROUNDS} rounds in turn; medians, and medians of each round's ratio")
    print("| streams | free, tokens/s | held, tokens/s | speed, held / free | CPU, free / held |")
    print("| --- | --- | --- | --- | --- |")
    try:
        for streams in STREAMS:
            rounds = [await one_round(engine, streams, tag, number) for number in range(ROUNDS + 1)]
            del rounds[0]  # it warms up, and compiles the grammar
            free, held = (statistics.median(pair[side].speed for pair in rounds) for side in (0, 1))
            speed = statistics.median(pair[1].speed / pair[0].speed for pair in rounds)
            cpu = statistics.median(pair[0].cpu / pair[1].cpu for pair in rounds)
            print(f"| {streams} | {free:.0f} | {held:.0f} | {speed:.3f} | {cpu:.3f} |", flush=True)
    finally:
        await engine.close()


class Run(NamedTuple):
    """So many streams at once: their tokens per second, and CPU seconds per token."""

    speed: float
    cpu: float


async def one_round(
    engine: SglangEngine, streams: int, tag: str | None, number: int
) -> tuple[Run, Run]:
    """Free, and held by the grammar."""
    if number % 2:
        held = await run(engine, streams, tag)
        return await run(engine, streams, None), held
    return await run(engine, streams, None), await run(engine, streams, tag)


async def run(engine: SglangEngine, streams: int, tag: str | None) -> Run:
    started, spent = time.monotonic(), cpu_seconds(engine)
    tokens = sum(await asyncio.gather(*(stream(engine, i, tag) for i in range(streams))))
    return Run(tokens / (time.monotonic() - started), (cpu_seconds(engine) - spent) / tokens)


def cpu_seconds(engine: SglangEngine) -> float:
    """Of the main threads of the engine's processes; its others wait for them, busily."""
    return sum(
        thread.user_time + thread.system_time
        for process in engine._processes
        for thread in psutil.Process(process.pid).threads()
        if thread.id == process.pid
    )


async def stream(engine: SglangEngine, index: int, tag: str | None) -> int:
    sampling = Sampling(max_tokens=4000, temperature=0.0, stop_ids=STOP_IDS, structural_tag=tag)
    tokens = 0
    async with aclosing(engine.generate(render_prompt(BODY), sampling, f"bench-{index}")) as steps:
        async for step in steps:
            tokens = step.completion_tokens
    return tokens


if __name__ == "__main__":
    asyncio.run(main())
