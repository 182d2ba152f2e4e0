"""What the worker adds to the boot of SGLang's bare engine, and what reading ahead saves.

Two comparisons, each of pairs that run one after the other, every side in a process of its own:
 1. The demo model's boot, from the process's start until the first request could be taken: SGLang's
    `Engine` alone, and the worker's `boot`. CPU seconds are those of the process and its children.
 2. SGLang's imports and then one read of a set of files that is not in the page cache: with nothing
    else, and with `reading_ahead` beside the imports. Every read maps the files, as SGLang does.
Run: `python -m benchmarks.boot` (`--pairs N`, `--gigabytes N`).
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from worker import logs
from worker.boot import boot
from worker.engine import SglangEngine, server_args
from worker.model import resolve
from worker.model.page_cache import reading_ahead
from worker.service import Service
from worker.settings import Settings

ON_DISK = "/var/tmp"  # noqa: S108 - a folder of its own is made in it; /tmp may be in memory
SHARDS = 8
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


def cost_of(*side: str) -> Cost:
    """Runs one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.boot", *side]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Cost(*json.loads(done.stdout.splitlines()[-1]))


def write_files(folder: Path, gigabytes: int) -> None:
    for number in range(SHARDS):
        piece = np.random.default_rng(number).bytes(gigabytes * 10**9 // SHARDS)
        (folder / f"model-{number}.safetensors").write_bytes(piece)


def forget(folder: Path) -> None:
    """Drops the files from the page cache."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def compare(pairs: int, first: Callable[[], Cost], second: Callable[[], Cost]) -> None:
    """Prints each pair and the median of the differences. The side that begins alternates."""
    differences: list[Cost] = []
    for number in range(pairs):
        if number % 2:
            two, one = second(), first()
        else:
            one, two = first(), second()
        differences.append(Cost(two.wall - one.wall, two.cpu - one.cpu))
        load = os.getloadavg()[0]
        print(
            f"  {one.wall:6.1f} s ({one.cpu:5.1f} CPU) {two.wall:6.1f} s ({two.cpu:5.1f} CPU), "
            f"second - first {differences[-1].wall:+.2f} s ({differences[-1].cpu:+.2f} CPU), "
            f"load {load:.1f} on {os.cpu_count()} cores",
            flush=True,
        )
    wall, cpu = (statistics.median(values) for values in zip(*differences, strict=True))
    print(f"  median: {wall:+.2f} s ({cpu:+.2f} CPU)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("side", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--gigabytes", type=int, default=2)
    chosen = parser.parse_args()
    match chosen.side:
        case ["bare"]:
            bare()
        case ["ours"]:
            ours()
        case [("alone" | "ahead") as how, folder]:
            read_after_imports(Path(folder), how == "ahead")
        case _:
            report(chosen.pairs, chosen.gigabytes)


def report(pairs: int, gigabytes: int) -> None:
    print("boot of the demo model: SGLang's engine alone, the worker's boot")
    compare(pairs, lambda: cost_of("bare"), lambda: cost_of("ours"))
    with tempfile.TemporaryDirectory(dir=ON_DISK) as name:
        folder = Path(name)
        write_files(folder, gigabytes)

        def cold(how: str) -> Cost:
            forget(folder)
            return cost_of(how, name)

        print(f"imports and then {gigabytes} GB from the disk: alone, with reading ahead")
        compare(pairs, lambda: cold("alone"), lambda: cold("ahead"))


if __name__ == "__main__":
    main()
