"""What the worker adds to the boot of SGLang's bare engine, and what reading ahead saves.

Two comparisons, each in turn, every side in a process of its own:
 1. The demo model's boot, from the process's start until the first request could be taken: SGLang's
    `Engine` alone, and the worker's `boot`. CPU seconds are those of the process and its children.
 2. SGLang's imports and then one read of a set of files that is not in the page cache: with nothing
    else, and with `reading_ahead` beside the imports. Every read maps the files, as SGLang does.
Run: `python -m benchmarks.boot [--quick]`.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from benchmarks.harness import Case, Figure, differences, in_turn, question_parser, save
from benchmarks.processes import json_from
from benchmarks.tables import show
from worker import logs
from worker.boot import boot
from worker.engine import SglangEngine, server_args
from worker.model import resolve
from worker.model.page_cache import reading_ahead
from worker.service import Service
from worker.settings import Settings

ON_DISK = "/var/tmp"  # noqa: S108 - a folder of its own is made in it; /tmp may be in memory
SHARDS = 8
ROUNDS, READS = 2, 1
GIGABYTES = 1.0
SETTINGS = Settings(model="demo", engine_args={"sleep_on_idle": True})


class Cost(NamedTuple):
    """Seconds since the process's start, and CPU seconds with those of its children."""

    wall: float
    cpu: float


def bare() -> None:
    from sglang.srt.entrypoints.engine import Engine

    engine = Engine(**server_args(SETTINGS, resolve(SETTINGS)))
    tell_cost()
    engine.shutdown()


def ours() -> None:
    asyncio.run(boot_and_close())


async def boot_and_close() -> None:
    logs.configure(SETTINGS.log_level_number)
    model = resolve(SETTINGS)
    service = Service(SglangEngine(server_args(SETTINGS, model)), model, SETTINGS)
    await boot(service, SETTINGS)
    tell_cost()
    await service.engine.close()


def read_after_imports(folder: Path, ahead: bool) -> None:
    with reading_ahead(folder) if ahead else nullcontext():
        import_module("sglang.srt.entrypoints.engine")
    for path in sorted(folder.iterdir()):
        np.array(np.memmap(path, mode="r", dtype=np.uint8))
    tell_cost()


def tell_cost() -> None:
    process = psutil.Process()
    everyone = [process, *process.children(recursive=True)]
    times = [each.cpu_times() for each in everyone]
    cpu = sum(each.user + each.system for each in times)
    print(json.dumps(Cost(time.time() - process.create_time(), cpu)), flush=True)


async def cost_of(*side: str) -> Cost:
    """Runs one side in a process of its own."""
    return Cost(*await json_from("-m", "benchmarks.boot", *side))


def write_files(folder: Path, gigabytes: float) -> None:
    for number in range(SHARDS):
        piece = np.random.default_rng(number).bytes(int(gigabytes * 10**9 / SHARDS))
        (folder / f"model-{number}.safetensors").write_bytes(piece)


def forget(folder: Path) -> None:
    """Drops the files from the page cache."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


async def main(quick: bool) -> None:
    """A quick run is one boot of each side, and no read."""
    if quick:
        figures = await boots(1)
    else:
        await cost_of("bare")  # brings the modules, which both load, into the page cache
        figures = [*await boots(ROUNDS), *await reads(READS)]
    show(figures)
    save("boot", figures)


async def boots(rounds: int) -> list[Figure]:
    sides = {"SGLang's engine": partial(cost_of, "bare"), "worker": partial(cost_of, "ours")}
    return figures_of("boot", await in_turn(sides, rounds, warm_up=False), {})


async def reads(rounds: int) -> list[Figure]:
    """Of files that are never in the page cache, so there is nothing to warm up."""
    with tempfile.TemporaryDirectory(dir=ON_DISK) as name:
        folder = Path(name)
        write_files(folder, GIGABYTES)

        async def cold(how: str) -> Cost:
            forget(folder)
            return await cost_of(how, name)

        sides = {"not read ahead": partial(cold, "alone"), "read ahead": partial(cold, "ahead")}
        measured = await in_turn(sides, rounds, warm_up=False)
    return figures_of("imports and files", measured, {"gigabytes": GIGABYTES})


def figures_of(what: str, measured: Mapping[str, Sequence[Cost]], case: Case) -> list[Figure]:
    """The first side is what the other is compared with."""
    figures: list[Figure] = []
    baseline = [each.wall for each in next(iter(measured.values()))]
    for side, costs in measured.items():
        wall = [each.wall for each in costs]
        figures += [
            Figure(what, side, "s", case, wall),
            Figure(f"added to {what}", side, "s", case, differences(wall, baseline)),
            Figure(f"CPU of {what}", side, "CPU s", case, [each.cpu for each in costs]),
        ]
    return figures


if __name__ == "__main__":
    parser = question_parser("boot", __doc__)
    parser.add_argument("side", nargs="*", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    match asked.side:
        case ["bare"]:
            bare()
        case ["ours"]:
            ours()
        case [("alone" | "ahead") as how, folder]:
            read_after_imports(Path(folder), how == "ahead")
        case _:
            asyncio.run(main(asked.quick))
