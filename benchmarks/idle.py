"""What does an engine that sleeps when it is idle (`sleep_on_idle`) cost the first token?

SGLang's scheduler polls for requests without a pause; with `sleep_on_idle` it waits for them. The
demo model's engine is booted in turn with and without it, each time in a process of its own, which
generates one token for each of 20 requests, half a second apart. Compared are the time to the first
token, and the CPU that the engine's processes take between the requests.
Run: `python -m benchmarks.idle [--quick]`.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

from benchmarks.engine_cost import cpu_of
from benchmarks.harness import Figure, in_turn, question_parser, save
from benchmarks.processes import json_from
from benchmarks.tables import show
from worker.engine import SglangEngine, server_args
from worker.generation import Sampling
from worker.harmony.vocabulary import encode
from worker.model import resolve
from worker.settings import Settings

REQUESTS = 20
PAUSE = 0.5
"""Seconds between two requests."""
ROUNDS = 3
QUICK_ROUNDS = 1
SIDES = ("sleeps", "polls")


class Idle(NamedTuple):
    """Milliseconds to the first token of each request, and the part of a core taken in between."""

    first_token_ms: Sequence[float]
    cores: float


async def measure(side: str) -> Idle:
    """One engine's."""
    settings = Settings(model="demo", log_level="error")
    arguments = server_args(settings, resolve(settings))
    engine = SglangEngine({**arguments, "sleep_on_idle": side == "sleeps"})
    await engine.start()
    try:
        pids = [process.pid for process in engine._processes]
        waits, idle = list[float](), list[float]()
        for number in range(REQUESTS):
            before = cpu_of(pids)
            await asyncio.sleep(PAUSE)
            idle.append((cpu_of(pids) - before) / PAUSE)
            waits.append(1e3 * await first_token_seconds(engine, number))
        return Idle(waits, sum(idle) / len(idle))
    finally:
        await engine.close()


async def first_token_seconds(engine: SglangEngine, number: int) -> float:
    """Of a prompt that is not in the prefix cache."""
    prompt = encode(f"{number} is the number of this request.")
    started = time.perf_counter()
    steps = engine.generate(prompt, Sampling(max_tokens=1, temperature=0.0), f"request-{number}")
    async with aclosing(steps):
        async for _ in steps:
            pass
    return time.perf_counter() - started


async def in_process(side: str) -> Idle:
    return Idle(*await json_from("-m", "benchmarks.idle", side))


async def main(rounds: int) -> None:
    measured: Mapping[str, Sequence[Idle]] = await in_turn(
        {side: partial(in_process, side) for side in SIDES}, rounds
    )
    figures: list[Figure] = []
    for side, boots in measured.items():
        waits = [wait for boot in boots for wait in boot.first_token_ms]
        figures += [
            Figure("first token", side, "ms", {}, waits),
            Figure("idle", side, "cores", {}, [boot.cores for boot in boots]),
        ]
    show(figures)
    save("idle", figures)


if __name__ == "__main__":
    parser = question_parser("idle", __doc__)
    parser.add_argument("side", nargs="?", choices=SIDES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(asyncio.run(measure(asked.side))))
    else:
        asyncio.run(main(QUICK_ROUNDS if asked.quick else ROUNDS))
