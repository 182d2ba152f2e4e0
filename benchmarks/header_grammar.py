"""How much decode throughput the header grammar (HEADER_GRAMMAR) costs.

Rule: the same prompts and tokens with and without the grammar, alternating on one engine, each
first in every other round. The model writes well-formed headers by itself, so only the grammar's
work differs. Throughput depends on the machine's other load; the CPU time of the engine's main
threads for the same tokens measures the same with less noise.
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
    print(f"{ROUNDS} alternating rounds; medians, and medians of each round's ratio")
    print(
        "| streams | free, tokens/s | constrained, tokens/s "
        "| speed, constrained / free | CPU, free / constrained |"
    )
    print("| --- | --- | --- | --- | --- |")
    try:
        for streams in STREAMS:
            rounds = [await one_round(engine, streams, tag, number) for number in range(ROUNDS + 1)]
            del rounds[0]  # warm-up, which compiles the grammar
            free, constrained = (
                statistics.median(pair[side].speed for pair in rounds) for side in (0, 1)
            )
            speed = statistics.median(pair[1].speed / pair[0].speed for pair in rounds)
            cpu = statistics.median(pair[0].cpu / pair[1].cpu for pair in rounds)
            print(
                f"| {streams} | {free:.0f} | {constrained:.0f} | {speed:.3f} | {cpu:.3f} |",
                flush=True,
            )
    finally:
        await engine.close()


class Run(NamedTuple):
    """One run of concurrent streams: tokens per second, and CPU seconds per token."""

    speed: float
    cpu: float


async def one_round(
    engine: SglangEngine, streams: int, tag: str | None, number: int
) -> tuple[Run, Run]:
    """One run without and one with the grammar, in this order in the result."""
    if number % 2:
        constrained = await run(engine, streams, tag)
        return await run(engine, streams, None), constrained
    return await run(engine, streams, None), await run(engine, streams, tag)


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
    sampling = Sampling(max_tokens=4000, temperature=0.0, stop_ids=STOP_IDS, structural_tag=tag)
    tokens = 0
    async with aclosing(engine.generate(render_prompt(BODY), sampling, f"bench-{index}")) as steps:
        async for step in steps:
            tokens = step.completion_tokens
    return tokens


if __name__ == "__main__":
    asyncio.run(main())
