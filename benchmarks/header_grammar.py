"""What the light grammar of headers (HEADER_GRAMMAR) costs of decode throughput.

Rule: the same prompts and the same tokens with and without the grammar, in turn on one engine; the
model writes well-formed headers by itself, so that nothing but the grammar's work differs.
Run: `python -m benchmarks.header_grammar`.
"""

import asyncio
import statistics
import time
from contextlib import aclosing

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
    print(f"{ROUNDS} rounds in turn; medians of tokens/s")
    print("| streams | free | with the header grammar | ratio |")
    print("| --- | --- | --- | --- |")
    try:
        for streams in STREAMS:
            pairs = [
                (await speed(engine, streams, None), await speed(engine, streams, tag))
                for _ in range(ROUNDS + 1)
            ][1:]  # the first pair warms up, and compiles the grammar
            free, held = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
            ratio = statistics.median(held / free for free, held in pairs)
            print(f"| {streams} | {free:.0f} | {held:.0f} | {ratio:.3f} |", flush=True)
    finally:
        await engine.close()


async def speed(engine: SglangEngine, streams: int, tag: str | None) -> float:
    """Tokens per second over `streams` streams at once."""
    started = time.monotonic()
    tokens = sum(await asyncio.gather(*(stream(engine, i, tag) for i in range(streams))))
    return tokens / (time.monotonic() - started)


async def stream(engine: SglangEngine, index: int, tag: str | None) -> int:
    sampling = Sampling(max_tokens=4000, temperature=0.0, stop_ids=STOP_IDS, structural_tag=tag)
    tokens = 0
    async with aclosing(engine.generate(render_prompt(BODY), sampling, f"bench-{index}")) as steps:
        async for step in steps:
            tokens = step.completion_tokens
    return tokens


if __name__ == "__main__":
    asyncio.run(main())
