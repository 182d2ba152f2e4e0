"""Do `stream_interval` or msgpack on SGLang's wire save the main process CPU?

The worker takes tokens from the stand-in of SGLang's scheduler (`fake_scheduler.py`) at 4,000 a
second over all streams, in turn with each setting, each time in a process of its own, since SGLang
reads the choice of its wire once, at import. Counted is the CPU per token of the main process, from
the request's body to SSE events, and of the stand-in, which writes the wire. SGLang's
`batch_notify_size` acts in its own tokenizer manager, which `direct_manager.py` replaces.
Run: `python -m benchmarks.engine_settings [--quick]`.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from functools import partial

import uvloop

from benchmarks.api_cost import TURNS
from benchmarks.engine_cost import LENGTH, cpu_of, through_worker
from benchmarks.fake_scheduler import Forced, in_place_of_sglangs
from benchmarks.harness import Figure, in_turn, question_parser, save
from benchmarks.processes import json_from
from benchmarks.same_request import SPEED
from benchmarks.tables import show
from worker.engine import SglangEngine, server_args
from worker.harmony.vocabulary import encoding
from worker.model import resolve
from worker.service import Service
from worker.settings import Settings

STREAMS = (16, 64, 256)
ROUNDS = 3
QUICK_ROUNDS = 1
INTERVALS = {"default": 1, "stream_interval 2": 2, "stream_interval 4": 4, "msgpack": 1}

Costs = Mapping[str, tuple[float, float]]
"""CPU microseconds per token of the main process and of the stand-in, by the number of streams."""


async def measure(side: str) -> Costs:
    """One engine's."""
    settings = Settings(model="demo", log_level="error")
    model = resolve(settings)
    arguments = {**server_args(settings, model), "stream_interval": INTERVALS[side]}
    engine = SglangEngine(arguments)
    ids = encoding().encode(TURNS["text"], allowed_special="all")
    try:
        with in_place_of_sglangs(Forced(ids, SPEED)):
            await engine.start()
        service = Service(engine, model, settings)
        await cost(engine, service, STREAMS[0])  # warms up
        return {str(streams): await cost(engine, service, streams) for streams in STREAMS}
    finally:
        await engine.close()


async def cost(engine: SglangEngine, service: Service, streams: int) -> tuple[float, float]:
    pids = [process.pid for process in engine._processes]
    others, main = cpu_of(pids), time.process_time()
    made = await asyncio.gather(*(through_worker(service) for _ in range(streams)))
    assert made == [LENGTH] * streams
    tokens = streams * LENGTH / 1e6
    return (time.process_time() - main) / tokens, (cpu_of(pids) - others) / tokens


async def in_process(side: str) -> Costs:
    pickle = str(side != "msgpack").lower()
    module = ("-m", "benchmarks.engine_settings")
    return await json_from(*module, side, SGLANG_USE_PICKLE_IPC=pickle)


async def main(rounds: int) -> None:
    measured: Mapping[str, Sequence[Costs]] = await in_turn(
        {side: partial(in_process, side) for side in INTERVALS}, rounds
    )
    figures: list[Figure] = []
    for side, found in measured.items():
        for streams in STREAMS:
            pairs = [each[str(streams)] for each in found]
            case = {"streams": streams}
            figures += [
                Figure("main process", side, "CPU µs per token", case, [m for m, _ in pairs]),
                Figure("stand-in", side, "CPU µs per token", case, [o for _, o in pairs]),
            ]
    show(figures)
    save("engine_settings", figures)


if __name__ == "__main__":
    parser = question_parser("engine_settings", __doc__)
    parser.add_argument("side", nargs="?", choices=INTERVALS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(uvloop.run(measure(asked.side))))
    else:
        asyncio.run(main(QUICK_ROUNDS if asked.quick else ROUNDS))
